"""One poll of one watch: the fence, the order of effects, and who else may be at it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from opswatch import steps
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import WakeUp
from opswatch.core.watches import FinalStatus, Watch
from opswatch.ports import Row
from tests.steps.house import (
    HOOK,
    KEY,
    OPERATION,
    OTHER,
    START,
    CutOffError,
    House,
    ended,
    running,
)
from tests.worlds import ENDPOINT, status_path

MISSES = {
    "not found": HttpResponse(404, {}),
    "throttled": HttpResponse(429, {"retry-after": "9"}),
    "server error": HttpResponse(500, {}),
    "no answer": NoAnswer("timeout", "no answer"),
    "no token": NoAnswer("token", "no credential"),
}


async def test_a_poll_sends_its_successor_before_it_commits(house: House) -> None:
    house.post(HOOK)
    await house.pump()
    house.effects.names.clear()
    await house.pump()
    assert house.effects.names == ["arm.get", "operations.send", "watches.replace"]
    assert (house.watch.seq, house.watch.polls, house.watch.status) == (2, 1, "InProgress")
    assert house.seqs(house.operations) == [2]
    (message,) = house.operations.messages.values()
    assert message.visible_at == house.watch.due_at == START + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("seq", "polls", "sent"),
    [(1, 0, []), (2, 1, [3]), (3, 0, [3]), (9, 0, [9])],
    ids=["stale", "due", "early", "far too early"],
)
async def test_the_fence(house: House, seq: int, polls: int, sent: list[int]) -> None:
    watch = await house.watched()
    house.operations.messages.clear()
    before = len(house.arm.asked)
    await steps.poll(house.services, WakeUp(KEY, seq))
    assert len(house.arm.asked) - before == polls
    assert house.seqs(house.operations) == sent
    assert house.watch.seq == watch.seq + polls


async def test_an_early_wake_up_comes_again_soon(house: House) -> None:
    await house.watched()
    house.operations.messages.clear()
    await steps.poll(house.services, WakeUp(KEY, 3, "trace"))
    (message,) = house.operations.messages.values()
    assert message.visible_at - house.now == timedelta(seconds=5)
    assert house.wakes(house.operations) == [WakeUp(KEY, 3, "trace")]


async def test_a_wake_up_for_what_has_ended_is_dropped(house: House) -> None:
    await house.ended()
    before = house.rows()
    await steps.poll(house.services, WakeUp(KEY, 1))
    await steps.poll(house.services, WakeUp(KEY, 2))
    await steps.poll(house.services, WakeUp(KEY, 99))
    assert len(house.arm.asked) == 2
    assert house.rows() == before
    assert not house.operations.messages


async def test_a_receiver_that_joins_during_a_poll_is_kept(house: House) -> None:
    await house.watched(HOOK)
    body = house.post(OTHER)
    house.operations.messages.popitem()
    house.effects.before["watches.replace"] = lambda: steps.operations_message(house.services, body)
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert (house.watch.callbacks, house.watch.seq, house.watch.polls) == ((HOOK, OTHER), 3, 2)


async def test_an_overtaken_worker_takes_its_successor_back(house: House) -> None:
    await house.watched()
    house.operations.messages.clear()

    async def overtake() -> None:
        house.advance(seconds=1)
        await steps.poll(house.services, WakeUp(KEY, 2))

    house.effects.before["watches.replace"] = overtake
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.effects.names[-1] == "operations.take_back"
    assert house.seqs(house.operations) == [3]
    assert (house.watch.seq, house.watch.polls) == (3, 2)


async def test_an_overtaken_worker_takes_its_successor_back_when_all_is_over(
    house: House,
) -> None:
    await house.watched()
    house.operations.messages.clear()

    async def overtake() -> None:
        house.status = ended()
        await steps.poll(house.services, WakeUp(KEY, 2))

    house.effects.before["watches.replace"] = overtake
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert not house.operations.messages
    assert not house.store.watches.rows
    assert house.result.polls == 2


async def test_a_new_url_that_an_overtaken_worker_has_read_is_followed(house: House) -> None:
    await house.watched()
    house.operations.messages.clear()
    new = f"{ENDPOINT}{status_path('new')}?api-version=1"

    async def overtake() -> None:
        house.advance(seconds=1)
        house.status = running()
        await steps.poll(house.services, WakeUp(KEY, 2))

    house.status = running(**{"azure-asyncoperation": new})
    house.effects.before["watches.replace"] = overtake
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.watch.operation.url == new
    assert house.watch.key == KEY
    assert house.seqs(house.operations) == [house.watch.seq] == [3]
    house.statuses = {"new": ended(), OPERATION: HttpResponse(404, {})}
    await house.settle()
    assert house.result.end.status is FinalStatus.SUCCEEDED


async def test_an_end_that_an_overtaken_worker_has_read_is_kept(house: House) -> None:
    await house.watched(HOOK)
    house.operations.messages.clear()

    async def overtake() -> None:
        house.status = running()
        await steps.poll(house.services, WakeUp(KEY, 2))
        house.status = HttpResponse(404, {})

    house.status = ended("Failed")
    house.effects.before["watches.replace"] = overtake
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.result.end.status is FinalStatus.FAILED
    await house.settle()
    assert house.called() == [HOOK]
    assert not house.store.watches.rows


async def test_no_chain_forks_when_a_message_comes_twice_at_once(house: House) -> None:
    await house.watched()
    for seq in range(2, 6):
        house.operations.messages.clear()

        async def copy(seq: int = seq) -> None:
            house.advance(seconds=1)
            await steps.poll(house.services, WakeUp(KEY, seq))

        house.effects.before["watches.replace"] = copy
        await steps.poll(house.services, WakeUp(KEY, seq))
        assert house.seqs(house.operations) == [seq + 1]
        house.advance(seconds=60)


async def test_a_commit_whose_answer_was_lost_keeps_its_successor_though_a_receiver_joined(
    house: House,
) -> None:
    """The SDK repeats the write, which then meets a row that is its own and one receiver more."""
    await house.watched(HOOK)
    house.operations.messages.clear()
    body = house.post(OTHER)
    house.operations.messages.clear()
    inner = house.store.watches.replace

    async def replace_twice(value: Watch, version: str) -> Row[Watch] | None:
        house.store.watches.replace = inner  # type: ignore[method-assign]
        await inner(value, version)
        await steps.operations_message(house.services, body)
        return await inner(value, version)

    house.store.watches.replace = replace_twice  # type: ignore[method-assign]
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.seqs(house.operations) == [3]
    assert (house.watch.seq, house.watch.callbacks) == (3, (HOOK, OTHER))


async def test_whoever_meets_a_kept_end_sees_to_it(house: House) -> None:
    """A stop was cut off after it kept its end, while the only wake-up was at work."""
    await house.watched()
    house.operations.messages.clear()

    async def stop_and_die() -> None:
        house.effects.cut_after = len(house.effects.names) + 1
        with pytest.raises(CutOffError):
            await steps.stop(house.services, KEY)
        house.effects.cut_after = None

    house.effects.before["watches.replace"] = stop_and_die
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert house.result.end.status == "Stopped"
    assert not house.store.watches.rows
    assert not house.operations.messages


@pytest.mark.parametrize("cut_after", [1, 2, 3])
@pytest.mark.parametrize("then", [running, ended])
async def test_a_poll_cut_off_anywhere_is_repaired_by_the_same_message(
    house: House, cut_after: int, then: Callable[[], HttpResponse]
) -> None:
    await house.watched(HOOK)
    house.operations.messages.clear()
    house.effects.names.clear()
    house.effects.cut_after = cut_after
    with pytest.raises(CutOffError):
        await steps.poll(house.services, WakeUp(KEY, 2))
    house.effects.cut_after = None
    house.status = then()
    house.advance(seconds=30)
    await steps.poll(house.services, WakeUp(KEY, 2))
    house.status = ended()
    await house.settle()
    assert house.called() == [HOOK]
    assert len(house.arm.asked) <= house.result.polls + 1


@pytest.mark.parametrize("status", MISSES.values(), ids=MISSES)
async def test_a_miss_is_counted_and_goes_on(house: House, status: HttpResponse | NoAnswer) -> None:
    await house.watched()
    house.status = status
    house.advance(seconds=10)
    await house.pump()
    assert (house.watch.polls, house.watch.misses, house.watch.status) == (2, 1, "InProgress")
    assert house.watch.last_miss
    assert not house.store.results.rows


async def test_what_stays_unreadable_is_lost_and_what_never_ends_times_out(house: House) -> None:
    await house.watched(HOOK)
    house.status = HttpResponse(404, {})
    await house.settle()
    assert house.result.end.status == "Lost"
    assert house.result.end.lost_reason == "404 NotFound"
    house = House()
    await house.watched(HOOK)
    await house.settle()
    assert house.result.end.status == "TimedOut"
    assert house.result.end.finished_at == house.result.deadline_at
    assert house.called() == [HOOK]


async def test_a_watch_begun_after_the_end_is_finished_without_a_poll(house: House) -> None:
    """Its registration was cut off, and a wake-up of the first watch comes late."""
    await house.ended(HOOK)
    asked = len(house.arm.asked)
    body = house.post(OTHER)
    house.operations.messages.clear()
    house.effects.cut_after = len(house.effects.names) + 1
    with pytest.raises(CutOffError):
        await steps.operations_message(house.services, body)
    house.effects.cut_after = None
    assert house.watch.polls == 0
    await steps.poll(house.services, WakeUp(KEY, 1))
    await house.settle()
    assert len(house.arm.asked) == asked
    assert house.called() == [HOOK, OTHER]
    assert not house.store.watches.rows


async def test_an_overtaken_poll_leaves_a_later_watch_alone(house: House) -> None:
    """The operation ended meanwhile, and a late receiver's watch stands at the same number."""
    house.post(HOOK)
    await house.pump()
    house.operations.messages.clear()

    async def end_and_post_again() -> None:
        house.status = ended()
        await steps.poll(house.services, WakeUp(KEY, 1))
        house.advance(seconds=1)
        body = house.post(OTHER)
        house.operations.messages.clear()
        house.effects.cut_after = len(house.effects.names) + 1
        with pytest.raises(CutOffError):
            await steps.operations_message(house.services, body)
        house.effects.cut_after = None

    house.effects.before["watches.replace"] = end_and_post_again
    await steps.poll(house.services, WakeUp(KEY, 1))
    assert (house.watch.seq, house.watch.polls, house.watch.callbacks) == (1, 0, (OTHER,))
    assert not house.operations.messages
