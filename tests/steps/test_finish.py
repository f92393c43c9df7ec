"""From the end of a watch to its record, its deliveries, and the removal of the watch."""

import pytest

from opswatch.core.http import HttpResponse
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.steps.finish import finish
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from opswatch.steps.repair import repair
from tests.steps.conftest import answer, interrupt, live_rows
from tests.support.control import redeliver
from tests.support.harness import HOOK, KEY, OTHER, Harness, ended

EFFECTS = [
    "arm.get",
    "watches.merge",  # keeps the end
    "results.insert",
    "timeline.put",
    "unsuccessful.put",
    "outbox.insert",
    "deliveries_queue.send_wake_up",
    "outbox.insert",
    "deliveries_queue.send_wake_up",
    "watches.delete",
]


@pytest.fixture
async def harness(harness: Harness) -> Harness:
    """A harness whose next poll shows the end of an operation with two receivers."""
    await harness.watched(HOOK, OTHER)
    harness.operations.messages.clear()
    harness.status = ended("Failed")
    harness.effects.names.clear()
    return harness


async def finish_now(harness: Harness) -> None:
    row = await harness.store.watches.get(KEY)
    assert row is not None
    await finish(harness.services, row)


async def test_end_is_kept_first_and_watch_removed_last(harness: Harness) -> None:
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    assert harness.effects.names == EFFECTS
    assert harness.result.end.status == "Failed"
    assert harness.result.facts.callbacks == (HOOK, OTHER)
    assert [entry.status for entry in harness.store.timeline.values()] == ["Failed"]
    assert not harness.operations.messages


@pytest.mark.parametrize("cut_after", range(1, len(EFFECTS) + 1))
async def test_same_message_continues_interrupted_end(harness: Harness, cut_after: int) -> None:
    await interrupt(harness, poll(harness.services, WakeUp(key=KEY, seq=2)), after=cut_after)
    await harness.pump()  # process the messages that were sent before the crash
    is_kept = cut_after > EFFECTS.index("watches.merge")
    if is_kept:
        harness.status = HttpResponse(404, {})  # ARM has forgotten it
    harness.advance(minutes=10)
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    await repair(harness.services)  # sends the wake-up of a delivery that the crash prevented
    await harness.settle()
    assert harness.result.end.status == "Failed"
    assert sorted(harness.called()) == [HOOK, OTHER]
    assert [d.state for d in harness.store.deliveries.values()] == ["delivered", "delivered"]
    assert not live_rows(harness)
    assert [entry.status for entry in harness.store.timeline.values()] == ["Failed"]
    assert [entry.entry.status for entry in harness.store.unsuccessful.values()] == ["Failed"]
    assert len(harness.arm.asked) == (2 if is_kept else 3)


@pytest.mark.parametrize("failing", ["deliveries.get", "deliveries_queue.send_wake_up"])
async def test_delivery_is_woken_though_a_request_fails(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Only the worker that has inserted a delivery sends its wake-up: not the one that repeats."""
    name, verb = failing.split(".")
    port = harness.deliveries if name == "deliveries_queue" else harness.store.deliveries
    working, failures = getattr(port, verb), [ConnectionError]

    async def fail_once(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return await working(*arguments)

    monkeypatch.setattr(port, verb, fail_once)
    wake = WakeUp(key=KEY, seq=2)
    with pytest.raises(ConnectionError):
        await poll(harness.services, wake)
    await poll(harness.services, wake)
    await harness.pump_all()
    assert harness.called() == [HOOK, OTHER]
    assert not live_rows(harness)


async def test_old_result_is_kept_before_its_delivery_is_woken(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if a request fails: a purge could remove it, and the delivery would be abandoned."""
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    await harness.settle()
    harness.advance(days=40)
    harness.effects.names.clear()

    async def fail(_: Key) -> None:
        monkeypatch.undo()
        raise ConnectionError

    monkeypatch.setattr(harness.store.deliveries, "get", fail)
    with pytest.raises(ConnectionError):
        await operations_message(harness.services, harness.registration_body(f"{HOOK}/late"))
    after_insertion = harness.effects.names[harness.effects.names.index("outbox.insert") :]
    assert after_insertion[1:] == ["results.replace", "deliveries_queue.send_wake_up"]


async def test_delivery_that_begins_late_is_not_overdue(harness: Harness) -> None:
    """Its operation ended long ago; with a second wake-up its receiver would be called twice."""
    await interrupt(harness, poll(harness.services, WakeUp(key=KEY, seq=2)), after=2)
    harness.advance(minutes=10)
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    await repair(harness.services)
    assert harness.seqs(harness.deliveries) == [1, 1]
    for pending in harness.store.outbox.values():
        assert (pending.due_at, pending.started_at) == (
            harness.now,
            harness.result.end.finished_at,
        )
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]


async def test_first_end_is_kept(harness: Harness) -> None:
    async def another_end() -> None:
        harness.advance(seconds=1)
        harness.status = ended("Succeeded")
        await poll(harness.services, WakeUp(key=KEY, seq=2))

    harness.effects.before["watches.merge"] = another_end
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    await harness.settle()
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK, OTHER]


async def test_concurrent_finishes_call_each_receiver_once(harness: Harness) -> None:
    await interrupt(harness, poll(harness.services, WakeUp(key=KEY, seq=2)), after=2)
    harness.effects.before["watches.delete"] = lambda: poll(
        harness.services, WakeUp(key=KEY, seq=2)
    )
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]
    assert not harness.store.watches.rows


async def test_copy_after_all_deliveries_calls_no_receiver(harness: Harness) -> None:
    async def finish_and_deliver() -> None:
        await finish_now(harness)
        await harness.settle()

    harness.effects.before["results.insert"] = finish_and_deliver
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    assert not harness.deliveries.messages
    assert harness.called() == [HOOK, OTHER]
    assert not harness.store.outbox.rows


async def test_copy_during_retries_sends_no_wake_up(harness: Harness) -> None:
    answer(harness, 401)

    async def finish_and_attempt() -> None:
        await finish_now(harness)
        await harness.pump()

    harness.effects.before["results.insert"] = finish_and_attempt
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    assert harness.wake_ups(harness.deliveries) == []  # both wait for the look-ahead
    assert [pending.attempts for pending in harness.store.outbox.values()] == [1, 1]


async def test_late_copy_leaves_redelivery_alone(harness: Harness) -> None:
    async def finish_and_deliver() -> None:
        await finish_now(harness)
        await harness.settle()
        harness.effects.before["outbox.delete"] = requeue  # when the copy has inserted its row

    async def requeue() -> None:
        harness.advance(seconds=1)
        assert await redeliver(harness.services, KEY) == 2

    harness.effects.before["results.insert"] = finish_and_deliver
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    await harness.settle()
    assert sorted(harness.called()) == sorted([HOOK, OTHER] * 2)
    assert [record.attempts for record in harness.store.deliveries.values()] == [2, 2]
    assert not harness.store.outbox.rows
