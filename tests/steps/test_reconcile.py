"""What the timer repairs: what is overdue, and what the host gave up."""

from datetime import timedelta

import pytest

from opswatch import steps
from opswatch.core.keys import WakeUp
from opswatch.steps.wakeups import wake_up_text
from tests.steps.house import HOOK, KEY, OTHER, CutOffError, House, ended


async def test_a_watch_whose_wake_up_was_lost_is_woken_and_goes_on(house: House) -> None:
    await house.watched(HOOK)
    house.operations.messages.clear()
    house.advance(minutes=3)
    house.effects.names.clear()
    await steps.repair(house.services)
    assert house.effects.names == ["operations.send", "watches.replace"]
    assert (house.watch.seq, house.watch.due_at) == (3, house.now)
    assert house.seqs(house.operations) == [3]
    house.status = ended()
    await house.settle()
    assert house.called() == [HOOK]


async def test_a_delivery_whose_wake_up_was_lost_is_woken_and_made(house: House) -> None:
    await house.watched(HOOK)
    house.status = ended()
    house.operations.messages.clear()
    await steps.poll(house.services, WakeUp(KEY, 2))
    house.deliveries.messages.clear()
    house.advance(minutes=3)
    await steps.repair(house.services)
    assert house.seqs(house.deliveries) == [2]
    await house.settle()
    assert house.called() == [HOOK]
    assert house.settled.attempts == 1


@pytest.mark.parametrize("late", [-1, 0, 119])
async def test_what_is_not_long_overdue_is_left_alone(house: House, late: int) -> None:
    watch = await house.watched(HOOK)
    house.now = watch.due_at + timedelta(seconds=late)
    before = house.rows()
    await steps.repair(house.services)
    assert house.rows() == before
    assert house.seqs(house.operations) == [2]


async def test_a_long_outage_leaves_few_messages_and_one_that_does_anything(house: House) -> None:
    await house.watched(HOOK)
    minutes = 24 * 60
    for _ in range(minutes):
        house.advance(minutes=1)
        await steps.repair(house.services)
    assert len(house.operations.messages) <= minutes / 3 + 1
    asked = len(house.arm.asked)
    house.status = ended()
    await house.settle()
    assert len(house.arm.asked) == asked + 1
    assert house.called() == [HOOK]


async def test_whoever_acts_meanwhile_wins_and_the_wake_up_is_taken_back(house: House) -> None:
    await house.watched(HOOK)
    house.operations.messages.clear()
    house.advance(minutes=3)
    house.effects.before["watches.replace"] = lambda: steps.poll(house.services, WakeUp(KEY, 2))
    await steps.repair(house.services)
    assert house.seqs(house.operations) == [3]
    assert house.watch.due_at > house.now


async def test_a_reconcile_cut_off_between_message_and_row_forks_nothing(house: House) -> None:
    await house.watched(HOOK)
    house.operations.messages.clear()
    house.advance(minutes=3)
    house.effects.cut_after = len(house.effects.names) + 1
    with pytest.raises(CutOffError):
        await steps.repair(house.services)
    house.effects.cut_after = None
    await steps.repair(house.services)
    assert house.seqs(house.operations) == [3, 3]
    house.status = ended()
    await house.settle()
    assert len(house.arm.asked) == 2
    assert house.called() == [HOOK]


async def test_poisoned_wake_ups_are_drained(house: House) -> None:
    await house.watched(HOOK)
    for seq in (1, 2, 3):
        house.poison.post(wake_up_text(WakeUp(KEY, seq)).encode())
    house.operations.messages.clear()
    await steps.repair(house.services)
    assert not house.poison.messages
    assert not house.operations.messages  # their row is overdue, or somebody else's
    assert house.watch.seq == 2


async def test_a_poisoned_post_is_taken_in(house: House) -> None:
    house.poison.post(house.post(HOOK))
    house.operations.messages.clear()
    await steps.repair(house.services)
    assert not house.poison.messages
    house.status = ended()
    await house.settle()
    assert house.called() == [HOOK]


async def test_a_poisoned_post_that_cannot_be_accepted_is_rejected(house: House) -> None:
    house.poison.post(b"\xff\xfe nonsense")
    await steps.repair(house.services)
    assert not house.poison.messages
    assert len(house.store.rejections.rows) == 1


async def test_a_poisoned_post_that_fails_again_stays_and_others_are_taken_in(
    house: House,
) -> None:
    house.poison.post(house.post(HOOK))
    house.poison.post(b"{nonsense")
    house.operations.messages.clear()

    async def outage() -> None:
        raise CutOffError

    house.effects.before["watches.insert"] = outage
    await steps.repair(house.services)
    assert len(house.poison.messages) == 1
    assert len(house.store.rejections.rows) == 1
    await steps.repair(house.services)
    assert len(house.poison.messages) == 1  # hidden for a while
    house.advance(minutes=2)
    await steps.repair(house.services)
    assert not house.poison.messages
    assert house.watch.callbacks == (HOOK,)


async def test_a_row_left_over_beside_its_record_is_cleared_away(house: House) -> None:
    await house.ended(HOOK)
    body = house.post(OTHER)
    house.operations.messages.clear()
    house.effects.cut_after = len(house.effects.names) + 1
    with pytest.raises(CutOffError):
        await steps.operations_message(house.services, body)  # and the message is lost, too
    house.effects.cut_after = None
    asked = len(house.arm.asked)
    house.advance(minutes=3)
    await steps.repair(house.services)
    await house.settle()
    assert not house.store.watches.rows
    assert len(house.arm.asked) == asked
    assert house.called() == [HOOK, OTHER]
