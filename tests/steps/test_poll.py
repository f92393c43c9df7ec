"""One poll of one watch: the fence, the order of effects, and concurrent workers."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import FinalStatus, Watch
from opswatch.ports import Row
from opswatch.steps.control import stop
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from tests.steps.conftest import interrupt, take_post
from tests.support.harness import (
    ENDPOINT,
    HOOK,
    KEY,
    OPERATION,
    OTHER,
    START,
    Harness,
    ended,
    running,
    status_path,
)

MISSES = {
    "not found": HttpResponse(404, {}),
    "throttled": HttpResponse(429, {"retry-after": "9"}),
    "server error": HttpResponse(500, {}),
    "no answer": NoAnswer("timeout", "no answer"),
    "no token": NoAnswer("token", "no credential"),
}


@pytest.fixture
async def watched(harness: Harness) -> Harness:
    """A harness with a watch at `seq` 2 whose message is gone."""
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    return harness


async def test_successor_is_sent_before_the_commit(harness: Harness) -> None:
    harness.post(HOOK)
    await harness.pump()
    assert harness.effects.names[-3:] == ["arm.get", "operations.send_wake_up", "watches.merge"]
    facts = harness.watch.facts
    assert (harness.watch.seq, facts.polls, facts.status) == (2, 1, "InProgress")
    (wake,) = harness.wake_ups(harness.operations)
    assert (wake.seq, wake.due_at) == (2, harness.watch.due_at)
    (message,) = harness.operations.messages.values()
    assert message.visible_at == harness.watch.due_at == START + timedelta(seconds=7)


async def test_far_wait_is_its_row_alone(watched: Harness) -> None:
    watched.status = running(**{"retry-after": "60"})
    watched.now = watched.watch.due_at
    watched.effects.names.clear()
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    # The look-ahead runs before the row is committed that needs it.
    assert watched.effects.names == [
        "arm.get", "lookahead.insert", "operations.send", "watches.merge",
    ]  # fmt: skip
    due_at = watched.watch.due_at
    assert watched.watch.far
    assert watched.wake_ups(watched.operations) == []
    watched.status = ended()
    await watched.settle()
    assert watched.result.facts.last_polled_at == due_at
    assert watched.called() == [HOOK]


@pytest.mark.parametrize(
    ("seq", "polls", "sent"),
    [(1, 0, []), (2, 1, [3]), (3, 0, [3]), (9, 0, [9])],
    ids=["stale", "due", "early", "far too early"],
)
async def test_fence(harness: Harness, seq: int, polls: int, sent: list[int]) -> None:
    watch = await harness.watched()
    harness.operations.messages.clear()
    before = len(harness.arm.asked)
    harness.now = watch.due_at
    await poll(harness.services, WakeUp(key=KEY, seq=seq, due_at=watch.due_at))
    assert len(harness.arm.asked) - before == polls
    assert harness.seqs(harness.operations) == sent
    assert harness.watch.seq == watch.seq + polls


async def test_wake_up_of_ended_operation_is_dropped(harness: Harness) -> None:
    await harness.ended()
    before = harness.rows()
    for seq in (1, 2, 99):
        await poll(harness.services, WakeUp(key=KEY, seq=seq))
    assert len(harness.arm.asked) == 2
    assert harness.rows() == before
    assert not harness.operations.messages


async def test_receiver_that_joins_during_poll_is_kept(harness: Harness) -> None:
    await harness.watched(HOOK)
    body = take_post(harness, OTHER)
    harness.effects.before["watches.merge"] = lambda: operations_message(harness.services, body)
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    facts = harness.watch.facts
    assert (facts.callbacks, harness.watch.seq, facts.polls) == ((HOOK, OTHER), 3, 2)


async def test_successor_of_conflicting_poll_is_stale(watched: Harness) -> None:

    async def poll_first() -> None:
        watched.advance(seconds=1)
        await poll(watched.services, WakeUp(key=KEY, seq=2))

    watched.effects.before["watches.merge"] = poll_first
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    assert (watched.watch.seq, watched.watch.facts.polls) == (3, 2)
    losers, winners = watched.wake_ups(watched.operations)
    assert (losers.seq, winners.seq) == (3, 3)
    assert winners.due_at == watched.watch.due_at != losers.due_at
    asked = len(watched.arm.asked)
    watched.now = watched.watch.due_at
    await poll(watched.services, losers)
    assert len(watched.arm.asked) == asked
    await poll(watched.services, winners)
    assert len(watched.arm.asked) == asked + 1


async def test_successor_of_poll_that_conflicts_with_an_end_is_dropped(watched: Harness) -> None:

    async def poll_first() -> None:
        watched.status = ended()
        await poll(watched.services, WakeUp(key=KEY, seq=2))

    watched.effects.before["watches.merge"] = poll_first
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    assert not watched.store.watches.rows
    asked = len(watched.arm.asked)
    await watched.settle()
    assert len(watched.arm.asked) == asked
    assert watched.result.facts.polls == 2


async def test_new_url_of_conflicting_poll_is_kept(watched: Harness) -> None:
    new = f"{ENDPOINT}{status_path('new')}?api-version=1"

    async def poll_first() -> None:
        watched.advance(seconds=1)
        watched.status = running()
        await poll(watched.services, WakeUp(key=KEY, seq=2))

    watched.status = running(**{"azure-asyncoperation": new})
    watched.effects.before["watches.merge"] = poll_first
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    assert watched.watch.facts.operation.url == new
    assert watched.watch.key == KEY
    assert watched.watch.due_at in [wake.due_at for wake in watched.wake_ups(watched.operations)]
    watched.statuses = {"new": ended(), OPERATION: HttpResponse(404, {})}
    await watched.settle()
    assert watched.result.end.status is FinalStatus.SUCCEEDED


async def test_end_of_conflicting_poll_is_kept(watched: Harness) -> None:

    async def poll_first() -> None:
        watched.status = running()
        await poll(watched.services, WakeUp(key=KEY, seq=2))
        watched.status = HttpResponse(404, {})

    watched.status = ended("Failed")
    watched.effects.before["watches.merge"] = poll_first
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    assert watched.result.end.status is FinalStatus.FAILED
    await watched.settle()
    assert watched.called() == [HOOK]
    assert not watched.store.watches.rows


async def test_concurrent_copies_do_not_fork_the_chain(harness: Harness) -> None:
    await harness.watched()
    for seq in range(2, 6):
        messages = list(harness.operations.messages.values())
        harness.operations.messages.clear()

        async def copy(seq: int = seq) -> None:
            harness.advance(seconds=1)
            await poll(harness.services, WakeUp(key=KEY, seq=seq))

        harness.effects.before["watches.merge"] = copy
        await poll(harness.services, WakeUp(key=KEY, seq=seq))
        harness.advance(seconds=60)
        asked = len(harness.arm.asked)
        for message in messages:  # of before, and whoever sent them: none of them is current
            await operations_message(harness.services, message.body)
        assert (len(harness.arm.asked), harness.watch.seq) == (asked, seq + 1)


async def test_repeated_commit_keeps_its_successor(watched: Harness) -> None:
    """Its answer was lost; the row that it conflicts with is its own, with one more receiver."""
    body = take_post(watched, OTHER)
    inner = watched.store.watches.merge

    async def merge_twice(row: Row[Watch], noun: Watch) -> Row[Watch] | None:
        watched.store.watches.merge = inner  # type: ignore[method-assign]
        await inner(row, noun)
        await operations_message(watched.services, body)
        return await inner(row, noun)

    watched.store.watches.merge = merge_twice  # type: ignore[method-assign]
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    assert watched.seqs(watched.operations) == [3]
    assert (watched.watch.seq, watched.watch.facts.callbacks) == (3, (HOOK, OTHER))


async def test_poll_finishes_an_end_kept_by_another(watched: Harness) -> None:
    """A stop crashed after it kept its end, while the only wake-up was being processed."""

    async def stop_and_crash() -> None:
        await interrupt(watched, stop(watched.services, KEY), after=1)

    watched.effects.before["watches.merge"] = stop_and_crash
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    assert watched.result.end.status == "Stopped"
    assert not watched.store.watches.rows
    asked = len(watched.arm.asked)
    await watched.settle()
    assert len(watched.arm.asked) == asked


@pytest.mark.parametrize("cut_after", [1, 2, 3])
@pytest.mark.parametrize("then", [running, ended])
async def test_same_message_continues_interrupted_poll(
    watched: Harness, cut_after: int, then: Callable[[], HttpResponse]
) -> None:
    watched.effects.names.clear()
    await interrupt(watched, poll(watched.services, WakeUp(key=KEY, seq=2)), after=cut_after)
    watched.status = then()
    watched.advance(seconds=30)
    await poll(watched.services, WakeUp(key=KEY, seq=2))
    watched.status = ended()
    await watched.settle()
    assert watched.called() == [HOOK]
    assert len(watched.arm.asked) <= watched.result.facts.polls + 1


@pytest.mark.parametrize("status", MISSES.values(), ids=MISSES)
async def test_miss_is_counted(harness: Harness, status: HttpResponse | NoAnswer) -> None:
    await harness.watched()
    harness.status = status
    harness.advance(seconds=10)
    await harness.pump()
    facts = harness.watch.facts
    assert (facts.polls, facts.misses, facts.status) == (2, 1, "InProgress")
    assert facts.last_miss
    assert not harness.store.results.rows


async def test_unreadable_operation_is_lost(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = HttpResponse(404, {})
    await harness.settle()
    assert harness.result.end.status == "Lost"
    assert harness.result.end.lost_reason == "404 NotFound"


async def test_endless_operation_times_out(harness: Harness) -> None:
    await harness.watched(HOOK)
    await harness.settle()
    assert harness.result.end.status == "TimedOut"
    assert harness.result.end.finished_at == harness.result.facts.deadline_at
    assert harness.called() == [HOOK]


async def test_watch_begun_after_the_end_is_not_polled(harness: Harness) -> None:
    """Its registration was interrupted, and a wake-up of the first watch arrives late."""
    await harness.ended(HOOK)
    asked = len(harness.arm.asked)
    body = take_post(harness, OTHER)
    await interrupt(harness, operations_message(harness.services, body), after=1)
    assert harness.watch.facts.polls == 0
    await poll(harness.services, WakeUp(key=KEY, seq=1))
    await harness.settle()
    assert len(harness.arm.asked) == asked
    assert harness.called() == [HOOK, OTHER]
    assert not harness.store.watches.rows


async def test_conflicting_poll_leaves_a_later_watch(harness: Harness) -> None:
    """The operation has ended since, and a late receiver's watch has the same `seq`."""
    body = take_post(harness, HOOK)

    async def end_and_post_again() -> None:
        harness.status = ended()
        await poll(harness.services, WakeUp(key=KEY, seq=1))
        harness.advance(seconds=1)
        body = take_post(harness, OTHER)
        await interrupt(harness, operations_message(harness.services, body), after=1)

    harness.effects.before["watches.merge"] = end_and_post_again
    await operations_message(harness.services, body)
    facts = harness.watch.facts
    assert (harness.watch.seq, facts.polls, facts.callbacks) == (1, 0, (OTHER,))
