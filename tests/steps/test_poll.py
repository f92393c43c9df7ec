"""One poll of one watch: the fence, the order of effects, and who else may be at it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import WakeUp
from opswatch.core.watches import FinalStatus, Watch
from opswatch.ports import Row
from opswatch.steps.control import stop
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from tests.support.harness import (
    ENDPOINT,
    HOOK,
    KEY,
    OPERATION,
    OTHER,
    START,
    Harness,
    InterruptedStepError,
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


async def test_a_poll_sends_its_successor_before_it_commits(harness: Harness) -> None:
    harness.post(HOOK)
    await harness.pump()
    harness.effects.names.clear()
    await harness.pump()
    assert harness.effects.names == ["arm.get", "operations.send", "watches.replace"]
    assert (harness.watch.seq, harness.watch.facts.polls, harness.watch.facts.status) == (
        2,
        1,
        "InProgress",
    )
    assert harness.seqs(harness.operations) == [2]
    (message,) = harness.operations.messages.values()
    assert message.visible_at == harness.watch.due_at == START + timedelta(seconds=7)


@pytest.mark.parametrize(
    ("seq", "polls", "sent"),
    [(1, 0, []), (2, 1, [3]), (3, 0, [3]), (9, 0, [9])],
    ids=["stale", "due", "early", "far too early"],
)
async def test_the_fence(harness: Harness, seq: int, polls: int, sent: list[int]) -> None:
    watch = await harness.watched()
    harness.operations.messages.clear()
    before = len(harness.arm.asked)
    await poll(harness.services, WakeUp(KEY, seq))
    assert len(harness.arm.asked) - before == polls
    assert harness.seqs(harness.operations) == sent
    assert harness.watch.seq == watch.seq + polls


async def test_an_early_wake_up_comes_again_soon(harness: Harness) -> None:
    await harness.watched()
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(KEY, 3, "trace"))
    (message,) = harness.operations.messages.values()
    assert message.visible_at - harness.now == timedelta(seconds=5)
    assert harness.wake_ups(harness.operations) == [WakeUp(KEY, 3, "trace")]


async def test_a_wake_up_for_what_has_ended_is_dropped(harness: Harness) -> None:
    await harness.ended()
    before = harness.rows()
    await poll(harness.services, WakeUp(KEY, 1))
    await poll(harness.services, WakeUp(KEY, 2))
    await poll(harness.services, WakeUp(KEY, 99))
    assert len(harness.arm.asked) == 2
    assert harness.rows() == before
    assert not harness.operations.messages


async def test_a_receiver_that_joins_during_a_poll_is_kept(harness: Harness) -> None:
    await harness.watched(HOOK)
    body = harness.post(OTHER)
    harness.operations.messages.popitem()
    harness.effects.before["watches.replace"] = lambda: operations_message(harness.services, body)
    await poll(harness.services, WakeUp(KEY, 2))
    assert (harness.watch.facts.callbacks, harness.watch.seq, harness.watch.facts.polls) == (
        (HOOK, OTHER),
        3,
        2,
    )


async def test_an_overtaken_worker_takes_its_successor_back(harness: Harness) -> None:
    await harness.watched()
    harness.operations.messages.clear()

    async def overtake() -> None:
        harness.advance(seconds=1)
        await poll(harness.services, WakeUp(KEY, 2))

    harness.effects.before["watches.replace"] = overtake
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.effects.names[-1] == "operations.take_back"
    assert harness.seqs(harness.operations) == [3]
    assert (harness.watch.seq, harness.watch.facts.polls) == (3, 2)


async def test_an_overtaken_worker_takes_its_successor_back_when_all_is_over(
    harness: Harness,
) -> None:
    await harness.watched()
    harness.operations.messages.clear()

    async def overtake() -> None:
        harness.status = ended()
        await poll(harness.services, WakeUp(KEY, 2))

    harness.effects.before["watches.replace"] = overtake
    await poll(harness.services, WakeUp(KEY, 2))
    assert not harness.operations.messages
    assert not harness.store.watches.rows
    assert harness.result.facts.polls == 2


async def test_a_new_url_that_an_overtaken_worker_has_read_is_followed(harness: Harness) -> None:
    await harness.watched()
    harness.operations.messages.clear()
    new = f"{ENDPOINT}{status_path('new')}?api-version=1"

    async def overtake() -> None:
        harness.advance(seconds=1)
        harness.status = running()
        await poll(harness.services, WakeUp(KEY, 2))

    harness.status = running(**{"azure-asyncoperation": new})
    harness.effects.before["watches.replace"] = overtake
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.watch.facts.operation.url == new
    assert harness.watch.key == KEY
    assert harness.seqs(harness.operations) == [harness.watch.seq] == [3]
    harness.statuses = {"new": ended(), OPERATION: HttpResponse(404, {})}
    await harness.settle()
    assert harness.result.end.status is FinalStatus.SUCCEEDED


async def test_an_end_that_an_overtaken_worker_has_read_is_kept(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.operations.messages.clear()

    async def overtake() -> None:
        harness.status = running()
        await poll(harness.services, WakeUp(KEY, 2))
        harness.status = HttpResponse(404, {})

    harness.status = ended("Failed")
    harness.effects.before["watches.replace"] = overtake
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.result.end.status is FinalStatus.FAILED
    await harness.settle()
    assert harness.called() == [HOOK]
    assert not harness.store.watches.rows


async def test_no_chain_forks_when_a_message_comes_twice_at_once(harness: Harness) -> None:
    await harness.watched()
    for seq in range(2, 6):
        harness.operations.messages.clear()

        async def copy(seq: int = seq) -> None:
            harness.advance(seconds=1)
            await poll(harness.services, WakeUp(KEY, seq))

        harness.effects.before["watches.replace"] = copy
        await poll(harness.services, WakeUp(KEY, seq))
        assert harness.seqs(harness.operations) == [seq + 1]
        harness.advance(seconds=60)


async def test_a_commit_whose_answer_was_lost_keeps_its_successor_though_a_receiver_joined(
    harness: Harness,
) -> None:
    """The SDK repeats the write, which then meets a row that is its own and one receiver more."""
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    body = harness.post(OTHER)
    harness.operations.messages.clear()
    inner = harness.store.watches.replace

    async def replace_twice(noun: Watch, etag: str) -> Row[Watch] | None:
        harness.store.watches.replace = inner  # type: ignore[method-assign]
        await inner(noun, etag)
        await operations_message(harness.services, body)
        return await inner(noun, etag)

    harness.store.watches.replace = replace_twice  # type: ignore[method-assign]
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.seqs(harness.operations) == [3]
    assert (harness.watch.seq, harness.watch.facts.callbacks) == (3, (HOOK, OTHER))


async def test_whoever_meets_a_kept_end_sees_to_it(harness: Harness) -> None:
    """A stop was cut off after it kept its end, while the only wake-up was at work."""
    await harness.watched()
    harness.operations.messages.clear()

    async def stop_and_die() -> None:
        harness.effects.cut_after = len(harness.effects.names) + 1
        with pytest.raises(InterruptedStepError):
            await stop(harness.services, KEY)
        harness.effects.cut_after = None

    harness.effects.before["watches.replace"] = stop_and_die
    await poll(harness.services, WakeUp(KEY, 2))
    assert harness.result.end.status == "Stopped"
    assert not harness.store.watches.rows
    assert not harness.operations.messages


@pytest.mark.parametrize("cut_after", [1, 2, 3])
@pytest.mark.parametrize("then", [running, ended])
async def test_a_poll_cut_off_anywhere_is_repaired_by_the_same_message(
    harness: Harness, cut_after: int, then: Callable[[], HttpResponse]
) -> None:
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.effects.names.clear()
    harness.effects.cut_after = cut_after
    with pytest.raises(InterruptedStepError):
        await poll(harness.services, WakeUp(KEY, 2))
    harness.effects.cut_after = None
    harness.status = then()
    harness.advance(seconds=30)
    await poll(harness.services, WakeUp(KEY, 2))
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]
    assert len(harness.arm.asked) <= harness.result.facts.polls + 1


@pytest.mark.parametrize("status", MISSES.values(), ids=MISSES)
async def test_a_miss_is_counted_and_goes_on(
    harness: Harness, status: HttpResponse | NoAnswer
) -> None:
    await harness.watched()
    harness.status = status
    harness.advance(seconds=10)
    await harness.pump()
    assert (harness.watch.facts.polls, harness.watch.facts.misses, harness.watch.facts.status) == (
        2,
        1,
        "InProgress",
    )
    assert harness.watch.facts.last_miss
    assert not harness.store.results.rows


async def test_what_stays_unreadable_is_lost_and_what_never_ends_times_out(
    harness: Harness,
) -> None:
    await harness.watched(HOOK)
    harness.status = HttpResponse(404, {})
    await harness.settle()
    assert harness.result.end.status == "Lost"
    assert harness.result.end.lost_reason == "404 NotFound"
    harness = Harness()
    await harness.watched(HOOK)
    await harness.settle()
    assert harness.result.end.status == "TimedOut"
    assert harness.result.end.finished_at == harness.result.facts.deadline_at
    assert harness.called() == [HOOK]


async def test_a_watch_begun_after_the_end_is_finished_without_a_poll(harness: Harness) -> None:
    """Its registration was cut off, and a wake-up of the first watch comes late."""
    await harness.ended(HOOK)
    asked = len(harness.arm.asked)
    body = harness.post(OTHER)
    harness.operations.messages.clear()
    harness.effects.cut_after = len(harness.effects.names) + 1
    with pytest.raises(InterruptedStepError):
        await operations_message(harness.services, body)
    harness.effects.cut_after = None
    assert harness.watch.facts.polls == 0
    await poll(harness.services, WakeUp(KEY, 1))
    await harness.settle()
    assert len(harness.arm.asked) == asked
    assert harness.called() == [HOOK, OTHER]
    assert not harness.store.watches.rows


async def test_an_overtaken_poll_leaves_a_later_watch_alone(harness: Harness) -> None:
    """The operation ended meanwhile, and a late receiver's watch stands at the same number."""
    harness.post(HOOK)
    await harness.pump()
    harness.operations.messages.clear()

    async def end_and_post_again() -> None:
        harness.status = ended()
        await poll(harness.services, WakeUp(KEY, 1))
        harness.advance(seconds=1)
        body = harness.post(OTHER)
        harness.operations.messages.clear()
        harness.effects.cut_after = len(harness.effects.names) + 1
        with pytest.raises(InterruptedStepError):
            await operations_message(harness.services, body)
        harness.effects.cut_after = None

    harness.effects.before["watches.replace"] = end_and_post_again
    await poll(harness.services, WakeUp(KEY, 1))
    assert (harness.watch.seq, harness.watch.facts.polls, harness.watch.facts.callbacks) == (
        1,
        0,
        (OTHER,),
    )
    assert not harness.operations.messages
