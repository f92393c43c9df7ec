"""What the timer repairs: what is overdue, and what the host gave up."""

from datetime import timedelta

import pytest

from opswatch.core.keys import WakeUp
from opswatch.steps.maintenance import repair
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from tests.support.harness import (
    HOOK,
    KEY,
    OTHER,
    Harness,
    InterruptedStepError,
    ended,
    wake_up_message,
)


async def test_a_watch_whose_wake_up_was_lost_is_woken_and_goes_on(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.advance(minutes=3)
    harness.effects.names.clear()
    await repair(harness.services)
    assert harness.effects.names == ["operations.send", "watches.replace"]
    assert (harness.watch.seq, harness.watch.due_at) == (3, harness.now)
    assert harness.seqs(harness.operations) == [3]
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_a_delivery_whose_wake_up_was_lost_is_woken_and_made(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(KEY, 2))
    harness.deliveries.messages.clear()
    harness.advance(minutes=3)
    await repair(harness.services)
    assert harness.seqs(harness.deliveries) == [2]
    await harness.settle()
    assert harness.called() == [HOOK]
    assert harness.settled.attempts == 1


@pytest.mark.parametrize("late", [-1, 0, 119])
async def test_what_is_not_long_overdue_is_left_alone(harness: Harness, late: int) -> None:
    watch = await harness.watched(HOOK)
    harness.now = watch.due_at + timedelta(seconds=late)
    before = harness.rows()
    await repair(harness.services)
    assert harness.rows() == before
    assert harness.seqs(harness.operations) == [2]


async def test_a_long_outage_leaves_few_messages_and_one_that_does_anything(
    harness: Harness,
) -> None:
    await harness.watched(HOOK)
    minutes = 24 * 60
    for _ in range(minutes):
        harness.advance(minutes=1)
        await repair(harness.services)
    assert len(harness.operations.messages) <= minutes / 3 + 1
    asked = len(harness.arm.asked)
    harness.status = ended()
    await harness.settle()
    assert len(harness.arm.asked) == asked + 1
    assert harness.called() == [HOOK]


async def test_whoever_acts_meanwhile_wins_and_the_wake_up_is_taken_back(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.advance(minutes=3)
    harness.effects.before["watches.replace"] = lambda: poll(harness.services, WakeUp(KEY, 2))
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [3]
    assert harness.watch.due_at > harness.now


async def test_a_reconcile_cut_off_between_message_and_row_forks_nothing(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.advance(minutes=3)
    harness.effects.cut_after = len(harness.effects.names) + 1
    with pytest.raises(InterruptedStepError):
        await repair(harness.services)
    harness.effects.cut_after = None
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [3, 3]
    harness.status = ended()
    await harness.settle()
    assert len(harness.arm.asked) == 2
    assert harness.called() == [HOOK]


async def test_poisoned_wake_ups_are_drained(harness: Harness) -> None:
    await harness.watched(HOOK)
    for seq in (1, 2, 3):
        harness.poison.post(wake_up_message(WakeUp(KEY, seq)))
    harness.operations.messages.clear()
    await repair(harness.services)
    assert not harness.poison.messages
    assert not harness.operations.messages  # their row is overdue, or somebody else's
    assert harness.watch.seq == 2


async def test_a_poisoned_post_is_taken_in(harness: Harness) -> None:
    harness.poison.post(harness.post(HOOK))
    harness.operations.messages.clear()
    await repair(harness.services)
    assert not harness.poison.messages
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_a_poisoned_post_that_cannot_be_accepted_is_rejected(harness: Harness) -> None:
    harness.poison.post(b"\xff\xfe nonsense")
    await repair(harness.services)
    assert not harness.poison.messages
    assert len(harness.store.rejections.rows) == 1


async def test_a_poisoned_post_that_fails_again_stays_and_others_are_taken_in(
    harness: Harness,
) -> None:
    harness.poison.post(harness.post(HOOK))
    harness.poison.post(b"{nonsense")
    harness.operations.messages.clear()

    async def outage() -> None:
        raise InterruptedStepError

    harness.effects.before["watches.insert"] = outage
    await repair(harness.services)
    assert len(harness.poison.messages) == 1
    assert len(harness.store.rejections.rows) == 1
    await repair(harness.services)
    assert len(harness.poison.messages) == 1  # hidden for a while
    harness.advance(minutes=2)
    await repair(harness.services)
    assert not harness.poison.messages
    assert harness.watch.facts.callbacks == (HOOK,)


async def test_a_row_left_over_beside_its_record_is_cleared_away(harness: Harness) -> None:
    await harness.ended(HOOK)
    body = harness.post(OTHER)
    harness.operations.messages.clear()
    harness.effects.cut_after = len(harness.effects.names) + 1
    with pytest.raises(InterruptedStepError):
        await operations_message(harness.services, body)  # and the message is lost, too
    harness.effects.cut_after = None
    asked = len(harness.arm.asked)
    harness.advance(minutes=3)
    await repair(harness.services)
    await harness.settle()
    assert not harness.store.watches.rows
    assert len(harness.arm.asked) == asked
    assert harness.called() == [HOOK, OTHER]
