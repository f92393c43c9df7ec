"""The timer: overdue rows are rescued, and poison messages handled."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.keys import Key, WakeUp
from opswatch.steps.maintenance import MOST_RESCUED, OVERDUE_GRACE, repair
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from tests.steps.conftest import interrupt, take_post
from tests.support import builders
from tests.support.harness import (
    HOOK,
    KEY,
    OTHER,
    START,
    Harness,
    InterruptedStepError,
    ended,
    wake_up_message,
)


async def lose_wake_up(harness: Harness) -> None:
    """Register the operation, poll it once, and lose its next message for three minutes."""
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.advance(minutes=3)


async def lose_delivery_wake_up(harness: Harness) -> None:
    """End the operation, and lose the message of its delivery."""
    await harness.watched(HOOK)
    harness.status = ended()
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(KEY, 2))
    harness.deliveries.messages.clear()


# --- overdue rows


async def test_watch_without_wake_up_is_rescued(harness: Harness) -> None:
    await lose_wake_up(harness)
    harness.effects.names.clear()
    await repair(harness.services)
    assert harness.effects.names == ["operations.send", "watches.replace"]
    assert (harness.watch.seq, harness.watch.due_at) == (3, harness.now)
    assert harness.seqs(harness.operations) == [3]
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_delivery_without_wake_up_is_rescued(harness: Harness) -> None:
    await lose_delivery_wake_up(harness)
    harness.advance(minutes=3)
    await repair(harness.services)
    assert harness.seqs(harness.deliveries) == [2]
    await harness.settle()
    assert harness.called() == [HOOK]
    assert harness.settled.attempts == 1


@pytest.mark.parametrize("late", [-1, 0, 119])
async def test_row_within_the_grace_is_left(harness: Harness, late: int) -> None:
    watch = await harness.watched(HOOK)
    harness.now = watch.due_at + timedelta(seconds=late)
    before = harness.rows()
    await repair(harness.services)
    assert harness.rows() == before
    assert harness.seqs(harness.operations) == [2]


@pytest.mark.parametrize("table", ["watches", "outbox"])
async def test_run_rescues_a_thousand_rows_of_a_table(harness: Harness, table: str) -> None:
    """The next run continues with the others, and no row is rescued twice."""
    for number in range(MOST_RESCUED + 5):
        key = Key("subscription", f"{number:04}")
        if table == "watches":
            named = replace(builders.operation(), key=key)
            await harness.store.watches.put(builders.watch(operation=named, due_at=START))
        else:
            delivery = replace(builders.delivery(key=key), next_attempt_at=START)
            await harness.store.outbox.put(delivery)
    rows = harness.store.watches if table == "watches" else harness.store.outbox
    queue = harness.operations if table == "watches" else harness.deliveries
    harness.now = START + OVERDUE_GRACE + timedelta(seconds=1)
    for rescued in (1000, 1005, 1005):
        await repair(harness.services)
        assert sorted(row.seq for row in rows.values()) == [1] * (1005 - rescued) + [2] * rescued
        assert harness.seqs(queue) == [2] * rescued
        harness.advance(minutes=1)


async def test_long_outage_leaves_few_messages(harness: Harness) -> None:
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


async def test_conflicting_rescue_takes_its_wake_up_back(harness: Harness) -> None:
    await lose_wake_up(harness)
    harness.effects.before["watches.replace"] = lambda: poll(harness.services, WakeUp(KEY, 2))
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [3]
    assert harness.watch.due_at > harness.now


async def test_repair_interrupted_before_commit_forks_nothing(harness: Harness) -> None:
    await lose_wake_up(harness)
    await interrupt(harness, repair(harness.services), after=1)
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [3, 3]
    harness.status = ended()
    await harness.settle()
    assert len(harness.arm.asked) == 2
    assert harness.called() == [HOOK]


async def test_watch_beside_its_result_is_removed(harness: Harness) -> None:
    """A registration after the end was interrupted, and its message was lost."""
    await harness.ended(HOOK)
    body = take_post(harness, OTHER)
    await interrupt(harness, operations_message(harness.services, body), after=1)
    asked = len(harness.arm.asked)
    harness.advance(minutes=3)
    await repair(harness.services)
    await harness.settle()
    assert not harness.store.watches.rows
    assert len(harness.arm.asked) == asked
    assert harness.called() == [HOOK, OTHER]


# --- poison messages


async def test_poisoned_wake_ups_are_removed(harness: Harness) -> None:
    await harness.watched(HOOK)
    for seq in (1, 2, 3):
        harness.poison.post(wake_up_message(WakeUp(KEY, seq)))
    harness.operations.messages.clear()
    await repair(harness.services)
    assert not harness.poison.messages
    assert not harness.operations.messages  # a row without a wake-up is rescued once it is overdue
    assert harness.watch.seq == 2


async def test_poisoned_post_is_registered(harness: Harness) -> None:
    harness.poison.post(harness.post(HOOK))
    harness.operations.messages.clear()
    await repair(harness.services)
    assert not harness.poison.messages
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_unacceptable_poisoned_post_is_rejected(harness: Harness) -> None:
    harness.poison.post(b"\xff\xfe nonsense")
    await repair(harness.services)
    assert not harness.poison.messages
    assert len(harness.store.rejections.rows) == 1


async def test_failing_poisoned_post_stays(harness: Harness) -> None:
    """It does not keep other messages from being processed, and a later run tries it again."""
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
