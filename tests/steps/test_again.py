"""An operation that is watched again: its rounds, their receivers, and races between them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse
from opswatch.core.texts import MAX_PROPERTY
from opswatch.core.watches import FinalStatus
from opswatch.dated import Span
from opswatch.lists import DeliveryFilter
from opswatch.ports import Services
from opswatch.steps.control import redeliver_all, stop
from opswatch.steps.finish import finish
from opswatch.steps.purge import purge
from opswatch.steps.repair import repair
from tests.support.control import redeliver
from tests.support.harness import (
    HOOK,
    KEY,
    OTHER,
    START,
    Harness,
    InterruptedStepError,
    ended,
    running,
)

GONE = HttpResponse(404, {})
THIRD = "https://third.example.com/3"


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def lose(harness: Harness, *callback_urls: str, **more: object) -> None:
    """Let the operation end as `Lost`, and settle its deliveries."""
    harness.status = GONE
    for callback_url in callback_urls or (None,):
        harness.post(callback_url, **more)
    await harness.settle()
    assert harness.result.end.status is FinalStatus.LOST


async def settle_until(harness: Harness, is_reached: Callable[[], bool]) -> None:
    """Advance from message to message until `is_reached`."""
    for _ in range(1000):
        await harness.pump_all()
        if is_reached():
            return
        following = harness.next_event_at()
        assert following is not None
        harness.now = max(harness.now, following)
    raise AssertionError("never reached")


def events(harness: Harness) -> list[tuple[str, str]]:
    """Return the receivers and the statuses that they were called with."""
    return [
        (request.url, json.loads(request.body)["data"]["status"])
        for request in harness.callbacks.requests
    ]


async def test_new_round_replaces_the_end(harness: Harness) -> None:
    await lose(harness, HOOK)
    first = harness.result
    harness.status = ended()
    harness.post(again=True)
    await harness.settle()
    result = harness.result
    assert (result.end.status, result.facts.round) == (FinalStatus.SUCCEEDED, 2)
    assert [end.status for end in result.earlier_ends] == [FinalStatus.LOST]
    assert result.facts.registered_at == first.facts.registered_at
    assert events(harness) == [(HOOK, "Lost"), (HOOK, "Succeeded")]
    ids = {request.headers["webhook-id"] for request in harness.callbacks.requests}
    assert len(ids) == 2
    (entry,) = harness.store.timeline.values()
    assert (entry.status, entry.registered_at) == ("Succeeded", START)


async def test_result_stays_while_watched_again(harness: Harness) -> None:
    await lose(harness)
    harness.status = running()
    harness.post(again=True)
    await harness.pump()
    assert harness.result.end.status is FinalStatus.LOST
    assert harness.watch.facts.round == 2
    (entry,) = harness.store.timeline.values()
    assert entry.finished_at is None


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Canceled"])
async def test_end_of_arm_is_not_watched_again(harness: Harness, status: str) -> None:
    await harness.ended(HOOK, status=status)
    before = harness.result
    harness.post(HOOK, again=True)
    await harness.settle()
    assert harness.result == before
    assert harness.called() == [HOOK]


async def test_again_while_running_changes_nothing(harness: Harness) -> None:
    await lose(harness, HOOK)
    harness.status = running()
    harness.post(again=True)
    await harness.pump()
    before = harness.watch
    harness.post(again=True)
    harness.post(HOOK, again=True)
    await harness.pump()
    assert harness.watch.facts.round == before.facts.round
    assert harness.watch.facts.callbacks == (HOOK,)


async def test_receiver_joins_the_new_round(harness: Harness) -> None:
    await lose(harness, HOOK)
    harness.status = running()
    harness.post(again=True)
    await harness.pump()
    harness.post(OTHER)
    await harness.pump()
    harness.status = ended()
    await harness.settle()
    assert sorted(events(harness)) == [
        (HOOK, "Lost"), (HOOK, "Succeeded"), (OTHER, "Succeeded"),
    ]  # fmt: skip


async def test_late_receiver_gets_the_new_end(harness: Harness) -> None:
    await lose(harness, HOOK)
    harness.post(OTHER)
    harness.post(THIRD, callbackOn=["Lost"])
    await harness.settle()
    harness.status = ended()
    harness.post(again=True)
    await harness.settle()
    assert sorted(events(harness)) == [
        (HOOK, "Lost"), (HOOK, "Succeeded"), (OTHER, "Lost"), (OTHER, "Succeeded"), (THIRD, "Lost"),
    ]  # fmt: skip


async def test_first_post_stands_in_the_new_round(harness: Harness) -> None:
    await lose(harness, HOOK, clientState={"t": 1}, kind="a/b", resourceId="/r")
    harness.status = ended()
    harness.post(again=True, clientState={"t": 2}, kind="c/d", resourceId="/s")
    await harness.settle()
    facts = harness.result.facts
    assert (facts.client_state, facts.kind, facts.resource_id) == ('{"t":1}', "a/b", "/r")


async def test_stopped_watch_is_watched_again(harness: Harness) -> None:
    await harness.watched(HOOK)
    await stop(harness.services, KEY)
    harness.status = ended()
    harness.post(again=True)
    await harness.settle()
    assert harness.result.end.status is FinalStatus.SUCCEEDED
    assert [end.status for end in harness.result.earlier_ends] == [FinalStatus.STOPPED]
    assert events(harness) == [(HOOK, "Succeeded")]


async def test_stop_ends_the_new_round(harness: Harness) -> None:
    await lose(harness, HOOK)
    harness.status = running()
    harness.post(again=True)
    await harness.pump()
    await stop(harness.services, KEY)
    await harness.settle()
    assert (harness.result.end.status, harness.result.facts.round) == (FinalStatus.STOPPED, 2)
    assert events(harness) == [(HOOK, "Lost")]


async def test_only_the_newest_earlier_ends_are_kept(harness: Harness) -> None:
    await lose(harness)
    for _ in range(70):
        harness.post(again=True)
        await harness.settle()
    assert harness.result.facts.round == 71
    assert len(harness.result.earlier_ends) == 20


async def test_purged_operation_is_watched_as_new(harness: Harness) -> None:
    await lose(harness, HOOK)
    harness.advance(days=31)
    await purge(harness.services)
    harness.status = ended()
    harness.post(HOOK, again=True)
    await harness.settle()
    assert (harness.result.facts.round, harness.result.earlier_ends) == (1, ())
    assert events(harness) == [(HOOK, "Lost"), (HOOK, "Succeeded")]


async def test_purge_spares_an_operation_watched_again(harness: Harness) -> None:
    await lose(harness, HOOK)
    harness.advance(days=31)
    harness.status = running()
    harness.post(again=True)
    await harness.pump()
    await purge(harness.services)
    harness.status = ended()
    await harness.settle()
    assert harness.result.facts.round == 2
    assert len(harness.store.timeline.values()) == 1


# --- at the same time


async def test_new_round_begun_during_the_finish_is_left_alone(harness: Harness) -> None:
    """A worker finishes round 1.

    1. It has stored the result `Lost`, and is about to remove the watch.
    2. A post begins round 2: the watch is replaced.
    3. The removal conflicts; the worker must not remove the watch of round 2.
    """
    harness.status = GONE
    harness.post(HOOK)

    async def post_again() -> None:
        harness.status = running()
        harness.post(OTHER, again=True)
        await harness.pump()

    harness.effects.before["watches.delete"] = post_again
    await settle_until(harness, lambda: bool(harness.store.results.values()))
    assert harness.watch.facts.round == 2
    harness.status = ended()
    await harness.settle()
    assert sorted(events(harness)) == [
        (HOOK, "Lost"), (HOOK, "Succeeded"), (OTHER, "Succeeded"),
    ]  # fmt: skip


async def test_slow_finish_lists_the_later_end(harness: Harness) -> None:
    """A worker stores the end of round 1; round 2 begins and ends before it is listed."""
    harness.status = GONE
    harness.post(HOOK)

    async def watch_again() -> None:
        harness.advance(minutes=1)
        harness.status = ended()
        harness.post(again=True)
        await harness.pump_all()

    harness.effects.before["timeline.put"] = watch_again
    await harness.settle()
    (entry,) = harness.store.timeline.values()
    assert harness.result.facts.round == 2
    assert (entry.status, entry.finished_at) == ("Succeeded", harness.result.end.finished_at)


async def test_slow_second_post_does_not_reopen_the_timeline(harness: Harness) -> None:
    """Two posts begin round 2; it ends before the slower one lists the watch."""
    await lose(harness, HOOK)
    harness.advance(minutes=1)
    harness.status = ended()
    harness.post(again=True)

    async def end_it() -> None:
        harness.post(again=True)
        await harness.settle()

    harness.effects.before["timeline.insert"] = end_it
    await harness.settle()
    (entry,) = harness.store.timeline.values()
    assert entry.status == "Succeeded"
    assert entry.finished_at == harness.result.end.finished_at


@pytest.mark.parametrize("cut_after", range(1, 12))
async def test_interrupted_round_is_completed(harness: Harness, cut_after: int) -> None:
    await lose(harness, HOOK)
    harness.status = ended()
    harness.post(again=True)
    harness.effects.names.clear()
    harness.effects.cut_after = cut_after
    try:
        await harness.settle()
    except InterruptedStepError:
        harness.effects.cut_after = None
        harness.advance(minutes=15)
        await harness.settle()
        harness.advance(minutes=15)
        await repair(harness.services)
        await harness.settle()
    assert harness.result.facts.round == 2
    assert harness.result.end.status is FinalStatus.SUCCEEDED
    assert set(events(harness)) == {(HOOK, "Lost"), (HOOK, "Succeeded")}
    assert not harness.store.watches.values()
    assert not harness.store.outbox.values()
    (entry,) = harness.store.timeline.values()
    assert entry.status == "Succeeded"


# --- deliveries of earlier rounds


async def redeliver_abandoned(services: Services) -> int:
    """Deliver again whatever was abandoned; return how many."""
    span = Span(since=START, until=services.clock() + timedelta(seconds=1))
    wanted = DeliveryFilter(span=span, states=(DeliveryState.ABANDONED,))
    count, _ = await redeliver_all(services, wanted)
    return count


@pytest.mark.parametrize(
    "again",
    [lambda services: redeliver(services, KEY), redeliver_abandoned],
    ids=["one operation", "all abandoned"],
)
async def test_earlier_round_is_not_delivered_again(
    harness: Harness, again: Callable[[Services], Awaitable[int]]
) -> None:
    harness.callbacks.answer = lambda _: HttpResponse(410, {})
    await lose(harness, HOOK)
    harness.status = ended()
    harness.post(again=True)
    await harness.settle()
    before = harness.store.deliveries.values()
    assert await again(harness.services) == 1
    await harness.settle()
    first, second = harness.store.deliveries.values()
    assert first == before[0]
    assert second.attempts == 2


async def test_pending_delivery_of_an_earlier_round_is_abandoned(harness: Harness) -> None:
    harness.callbacks.answer = lambda _: HttpResponse(503, {})
    harness.status = GONE
    harness.post(HOOK)
    await settle_until(harness, lambda: bool(harness.called()))
    harness.callbacks.answer = lambda _: HttpResponse(204, {})
    harness.status = ended()
    harness.post(again=True)
    await harness.settle()
    states = {record.round: record.reason for record in harness.store.deliveries.values()}
    assert states == {1: "the operation has been watched again", 2: None}


async def test_receiver_beyond_the_row_is_rejected(harness: Harness) -> None:
    await lose(harness)
    (row,) = [await harness.store.results.get(KEY)]
    assert row is not None
    many = tuple(f"https://example.com/{'x' * 400}/{number}" for number in range(76))
    facts = replace(row.value.facts, callbacks=many)
    assert len(json.dumps(many)) < MAX_PROPERTY
    await harness.store.results.put(replace(row.value, facts=facts))
    harness.status = running()
    harness.post(f"https://example.com/{'y' * 1500}", again=True)
    await harness.pump()
    assert harness.watch.facts.callbacks == many
    (rejected,) = harness.store.rejections.values()
    assert rejected.reason == "TooLarge"


async def test_finished_round_is_not_finished_again(harness: Harness) -> None:
    """A worker that still holds the watch of round 1 finishes it after round 2."""
    harness.status = GONE
    harness.post(HOOK)
    await harness.pump()
    old = await harness.store.watches.get(KEY)
    assert old is not None
    await harness.settle()
    kept = replace(old, value=replace(old.value, end=harness.result.end))
    harness.status = ended()
    harness.post(again=True)
    await harness.settle()
    before = harness.result
    await finish(harness.services, kept)
    await harness.settle()
    assert harness.result == before
    assert events(harness) == [(HOOK, "Lost"), (HOOK, "Succeeded")]
