"""From an end that was seen to its record, its deliveries, and the removal of the watch."""

import pytest

from opswatch.core.http import HttpResponse
from opswatch.core.keys import WakeUp
from opswatch.steps.control import StopOutcome, redeliver, stop
from opswatch.steps.finish import finish
from opswatch.steps.poll import poll
from tests.support.harness import HOOK, KEY, OTHER, Harness, InterruptedStepError, ended

EFFECTS = [
    "arm.get",
    "watches.replace",  # keeps the end
    "results.insert",
    "timeline.put",
    "outbox.insert",
    "deliveries_queue.send",
    "outbox.insert",
    "deliveries_queue.send",
    "watches.delete",
]


async def about_to_end(harness: Harness) -> None:
    await harness.watched(HOOK, OTHER)
    harness.operations.messages.clear()
    harness.status = ended("Failed")
    harness.effects.names.clear()


async def test_the_end_is_kept_first_and_the_watch_removed_last(harness: Harness) -> None:
    await about_to_end(harness)
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.effects.names == EFFECTS
    assert harness.result.end.status == "Failed"
    assert harness.result.facts.callbacks == (HOOK, OTHER)
    assert [line.status for line in harness.store.timeline.values()] == ["Failed"]
    assert not harness.operations.messages


@pytest.mark.parametrize("cut_after", range(1, len(EFFECTS) + 1))
async def test_an_end_cut_off_anywhere_is_taken_up_by_the_same_message(
    harness: Harness, cut_after: int
) -> None:
    await about_to_end(harness)
    harness.effects.cut_after = cut_after
    with pytest.raises(InterruptedStepError):
        await poll(harness.services, WakeUp(KEY, 2))
    harness.effects.cut_after = None
    await harness.pump()  # what was sent till then is acted on
    is_kept = cut_after > EFFECTS.index("watches.replace")
    if is_kept:
        harness.status = HttpResponse(404, {})  # ARM forgets: an end once seen is kept
    harness.advance(minutes=10)
    await poll(harness.services, WakeUp(KEY, 2))
    await harness.settle()
    assert harness.result.end.status == "Failed"
    assert harness.called() == [HOOK, OTHER]
    assert [d.state for d in harness.store.deliveries.values()] == ["delivered", "delivered"]
    assert not harness.store.watches.rows
    assert not harness.store.outbox.rows
    assert [line.status for line in harness.store.timeline.values()] == ["Failed"]
    assert len(harness.arm.asked) == (2 if is_kept else 3)


async def test_the_first_end_is_the_end(harness: Harness) -> None:
    await about_to_end(harness)

    async def another_end() -> None:
        harness.advance(seconds=1)
        harness.status = ended("Succeeded")
        await poll(harness.services, WakeUp(KEY, 2))

    harness.effects.before["watches.replace"] = another_end
    await poll(harness.services, WakeUp(KEY, 2))
    await harness.settle()
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK, OTHER]


async def test_two_who_finish_at_once_call_each_receiver_once(harness: Harness) -> None:
    await about_to_end(harness)
    harness.effects.cut_after = 2
    with pytest.raises(InterruptedStepError):
        await poll(harness.services, WakeUp(KEY, 2))
    harness.effects.cut_after = None

    async def another() -> None:
        await poll(harness.services, WakeUp(KEY, 2))

    harness.effects.before["watches.delete"] = another
    await poll(harness.services, WakeUp(KEY, 2))
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]
    assert not harness.store.watches.rows


async def test_a_copy_that_comes_after_all_was_delivered_calls_nobody_again(
    harness: Harness,
) -> None:
    await about_to_end(harness)

    async def everything() -> None:
        stored = await harness.store.watches.get(KEY)
        assert stored is not None
        await finish(harness.services, stored)
        await harness.settle()

    harness.effects.before["results.insert"] = everything
    await poll(harness.services, WakeUp(KEY, 2))
    assert not harness.deliveries.messages
    assert harness.called() == [HOOK, OTHER]
    assert not harness.store.outbox.rows


async def test_a_copy_that_comes_while_a_delivery_is_retried_wakes_nobody(harness: Harness) -> None:
    await about_to_end(harness)
    harness.callbacks.answer = lambda _: HttpResponse(401, {})

    async def first_attempts() -> None:
        stored = await harness.store.watches.get(KEY)
        assert stored is not None
        await finish(harness.services, stored)
        await harness.pump()

    harness.effects.before["results.insert"] = first_attempts
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.seqs(harness.deliveries) == [2, 2]  # of two receivers
    assert [owed.attempts for owed in harness.store.outbox.values()] == [1, 1]


async def test_a_copy_that_comes_late_leaves_a_replay_alone(harness: Harness) -> None:
    await about_to_end(harness)

    async def everything() -> None:
        stored = await harness.store.watches.get(KEY)
        assert stored is not None
        await finish(harness.services, stored)
        await harness.settle()
        harness.effects.before["outbox.delete"] = requeue  # when the copy has put its row there

    async def requeue() -> None:
        harness.advance(seconds=1)
        assert await redeliver(harness.services, KEY) == 2

    harness.effects.before["results.insert"] = everything
    await poll(harness.services, WakeUp(KEY, 2))
    await harness.settle()
    assert sorted(harness.called()) == sorted([HOOK, OTHER] * 2)
    assert [record.attempts for record in harness.store.deliveries.values()] == [2, 2]
    assert not harness.store.outbox.rows


async def test_what_a_user_stopped_calls_nobody(harness: Harness) -> None:
    await harness.watched(HOOK)
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    harness.post(OTHER)
    await harness.settle()
    assert harness.result.end.status == "Stopped"
    assert harness.called() == []
    assert not harness.store.watches.rows
    assert not harness.store.outbox.rows
    assert [line.status for line in harness.store.timeline.values()] == ["Stopped"]
