"""From an end that was seen to its record, its deliveries, and the removal of the watch."""

import pytest

from opswatch import steps
from opswatch.core.http import HttpResponse
from opswatch.core.keys import WakeUp
from tests.steps.house import HOOK, KEY, OTHER, CutOffError, House, ended

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


async def about_to_end(house: House) -> None:
    await house.watched(HOOK, OTHER)
    house.operations.messages.clear()
    house.status = ended("Failed")
    house.effects.names.clear()


async def test_the_end_is_kept_first_and_the_watch_removed_last(house: House) -> None:
    await about_to_end(house)
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.effects.names == EFFECTS
    assert house.result.end.status == "Failed"
    assert house.result.callbacks == (HOOK, OTHER)
    assert [line.status for line in house.store.timeline.values()] == ["Failed"]
    assert not house.operations.messages


@pytest.mark.parametrize("cut_after", range(1, len(EFFECTS) + 1))
async def test_an_end_cut_off_anywhere_is_taken_up_by_the_same_message(
    house: House, cut_after: int
) -> None:
    await about_to_end(house)
    house.effects.cut_after = cut_after
    with pytest.raises(CutOffError):
        await steps.poll(house.services, WakeUp(KEY, 2))
    house.effects.cut_after = None
    await house.pump()  # what was sent till then is acted on
    is_kept = cut_after > EFFECTS.index("watches.replace")
    if is_kept:
        house.status = HttpResponse(404, {})  # ARM forgets: an end once seen is kept
    house.advance(minutes=10)
    await steps.poll(house.services, WakeUp(KEY, 2))
    await house.settle()
    assert house.result.end.status == "Failed"
    assert house.called() == [HOOK, OTHER]
    assert [d.state for d in house.store.deliveries.values()] == ["delivered", "delivered"]
    assert not house.store.watches.rows
    assert not house.store.outbox.rows
    assert [line.status for line in house.store.timeline.values()] == ["Failed"]
    assert len(house.arm.asked) == (2 if is_kept else 3)


async def test_the_first_end_is_the_end(house: House) -> None:
    await about_to_end(house)

    async def another_end() -> None:
        house.advance(seconds=1)
        house.status = ended("Succeeded")
        await steps.poll(house.services, WakeUp(KEY, 2))

    house.effects.before["watches.replace"] = another_end
    await steps.poll(house.services, WakeUp(KEY, 2))
    await house.settle()
    assert house.result.end.status == "Succeeded"
    assert house.called() == [HOOK, OTHER]


async def test_two_who_finish_at_once_call_each_receiver_once(house: House) -> None:
    await about_to_end(house)
    house.effects.cut_after = 2
    with pytest.raises(CutOffError):
        await steps.poll(house.services, WakeUp(KEY, 2))
    house.effects.cut_after = None

    async def another() -> None:
        await steps.poll(house.services, WakeUp(KEY, 2))

    house.effects.before["watches.delete"] = another
    await steps.poll(house.services, WakeUp(KEY, 2))
    await house.settle()
    assert house.called() == [HOOK, OTHER]
    assert not house.store.watches.rows


async def test_a_copy_that_comes_after_all_was_delivered_calls_nobody_again(house: House) -> None:
    await about_to_end(house)

    async def everything() -> None:
        stored = await house.store.watches.get(KEY)
        assert stored is not None
        await steps.finish(house.services, stored)
        await house.settle()

    house.effects.before["results.insert"] = everything
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert not house.deliveries.messages
    assert house.called() == [HOOK, OTHER]
    assert not house.store.outbox.rows


async def test_a_copy_that_comes_while_a_delivery_is_retried_wakes_nobody(house: House) -> None:
    await about_to_end(house)
    house.callbacks.answer = lambda _: HttpResponse(401, {})

    async def first_attempts() -> None:
        stored = await house.store.watches.get(KEY)
        assert stored is not None
        await steps.finish(house.services, stored)
        await house.pump()

    house.effects.before["results.insert"] = first_attempts
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.seqs(house.deliveries) == [2, 2]  # of two receivers
    assert [owed.attempts for owed in house.store.outbox.values()] == [1, 1]


async def test_a_copy_that_comes_late_leaves_a_replay_alone(house: House) -> None:
    await about_to_end(house)

    async def everything() -> None:
        stored = await house.store.watches.get(KEY)
        assert stored is not None
        await steps.finish(house.services, stored)
        await house.settle()
        house.effects.before["outbox.delete"] = requeue  # when the copy has put its row there

    async def requeue() -> None:
        house.advance(seconds=1)
        assert await steps.redeliver(house.services, KEY) == 2

    house.effects.before["results.insert"] = everything
    await steps.poll(house.services, WakeUp(KEY, 2))
    await house.settle()
    assert sorted(house.called()) == sorted([HOOK, OTHER] * 2)
    assert [record.attempts for record in house.store.deliveries.values()] == [2, 2]
    assert not house.store.outbox.rows


async def test_what_a_user_stopped_calls_nobody(house: House) -> None:
    await house.watched(HOOK)
    assert await steps.stop(house.services, KEY) is steps.StopOutcome.STOPPED
    house.post(OTHER)
    await house.settle()
    assert house.result.end.status == "Stopped"
    assert house.called() == []
    assert not house.store.watches.rows
    assert not house.store.outbox.rows
    assert [line.status for line in house.store.timeline.values()] == ["Stopped"]
