"""Wake-ups of both chains: the fence, batches, and what a wait needs before its commit."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from opswatch.core.intake import Registration
from opswatch.core.keys import Key
from opswatch.core.lookahead import Look, begin, key_of, trusted_until
from opswatch.core.wakeups import OVERDUE_GRACE, WakeUp
from opswatch.core.watches import Watch
from opswatch.ports import Row, Services
from opswatch.rows.messages import decode_message
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from opswatch.steps.register import register
from opswatch.steps.repair import repair
from opswatch.steps.wakeups import (
    act_on_each,
    after_commit,
    before_commit,
    delivery_chain,
    keep_looking,
    load_current_row,
    send_wake_up,
    start_waiting,
    watch_chain,
)
from opswatch.testing import MemoryQueue, MemoryTelemetry
from tests.steps.conftest import interrupt
from tests.support.builders import KEY, delivery, watch
from tests.support.cases import cases
from tests.support.harness import HOOK, START, Harness, InterruptedStepError, ended

SECOND = timedelta(seconds=1)
WATCH = watch(seq=3, due_at=START)
FAR = watch(due_at=START + timedelta(minutes=5), far=True)


# --- the fence


async def load(harness: Harness, wake: WakeUp, known: Row[Watch] | None = None) -> Watch | None:
    row = await load_current_row(harness.services, watch_chain(harness.services), wake, known)
    return row.value if row is not None else None


@cases(
    "seq, event",
    {
        "equal": (3, None),
        "older by one": (2, "opswatch.dropped_wake_up"),
        "much older": (0, "opswatch.dropped_wake_up"),
        "newer by one": (4, "opswatch.early_wake_up"),
        "much newer": (9, "opswatch.early_wake_up"),
    },
)
async def test_seq_decides_what_a_wake_up_does(
    harness: Harness, caplog: pytest.LogCaptureFixture, seq: int, event: str | None
) -> None:
    caplog.set_level(logging.DEBUG, logger="opswatch")
    await harness.store.watches.insert(WATCH)
    wake = WakeUp(key=KEY, seq=seq, due_at=START, traceparent="00-a-b-00")
    assert await load(harness, wake) == (WATCH if event is None else None)
    assert [vars(record)["event"] for record in caplog.records] == ([event] if event else [])
    # An early wake-up is sent again, as it was; nothing else is.
    is_early = event == "opswatch.early_wake_up"
    assert harness.wake_ups(harness.operations) == ([wake] if is_early else [])
    visible_at = [message.visible_at for message in harness.operations.messages.values()]
    assert visible_at == ([harness.now + 5 * SECOND] if is_early else [])


async def test_wake_up_with_another_due_time_is_dropped(harness: Harness) -> None:
    """It is of a worker that acted at the same time, and whose commit lost."""
    telemetry = MemoryTelemetry()
    harness.services = replace(harness.services, telemetry=telemetry)
    await harness.store.watches.insert(WATCH)
    assert await load(harness, WakeUp(key=KEY, seq=3, due_at=START + SECOND)) is None
    assert harness.operations.messages == {}
    assert [(m.name, d) for m, _, d in telemetry.measured] == [
        ("opswatch.wake_ups.dropped", {"why": "stale"})
    ]


async def test_wake_up_without_a_row_is_dropped(harness: Harness) -> None:
    assert await load(harness, WakeUp(key=KEY, seq=1)) is None
    assert harness.operations.messages == {}


async def test_early_wake_up_ends_when_its_row_is_overdue(harness: Harness) -> None:
    await harness.store.watches.insert(WATCH)
    wake = WakeUp(key=KEY, seq=4, due_at=START)
    await harness.operations.send_wake_up(wake, timedelta(0))
    arrivals = 0
    while harness.operations.messages:
        for message in harness.operations.receive():
            arrivals += 1
            del harness.operations.messages[message.message_id]
            assert await load(harness, wake) is None
        harness.now = min(
            (message.visible_at for message in harness.operations.messages.values()),
            default=harness.now,
        )
    assert harness.now - START >= OVERDUE_GRACE
    assert arrivals == 7


async def test_known_row_that_fits_is_not_read(harness: Harness) -> None:
    known = Row(WATCH, "1", is_copy=True)
    assert await load(harness, WakeUp(key=KEY, seq=3, due_at=START), known) is WATCH


@pytest.mark.parametrize("seq", [2, 4])
async def test_known_row_that_does_not_fit_is_read(harness: Harness, seq: int) -> None:
    await harness.store.watches.insert(WATCH)
    known = Row(replace(WATCH, seq=seq), "1")
    assert await load(harness, WakeUp(key=KEY, seq=3, due_at=START), known) == WATCH


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0, 0), (0.001, 1), (1, 1), (1.0001, 2), (59.5, 60), (-3, 0)]
)
async def test_delay_is_rounded_up_to_seconds(harness: Harness, seconds: float, whole: int) -> None:
    due = replace(WATCH, due_at=harness.now + timedelta(seconds=seconds))
    await send_wake_up(harness.services, watch_chain(harness.services), due)
    (message,) = harness.operations.messages.values()
    assert message.visible_at == harness.now + timedelta(seconds=whole)


# --- batches


def wakes(count: int) -> list[WakeUp]:
    copy = watch(due_at=START)
    return [
        WakeUp(key=Key("p", f"{n}"), seq=1, due_at=START, copy=copy, etag='"1"')
        for n in range(count)
    ]


async def test_failing_wake_up_goes_alone(harness: Harness) -> None:
    acted: list[WakeUp] = []

    async def act(_: Services, wake: WakeUp) -> None:
        if wake.key.row == "2":
            raise ConnectionError
        acted.append(wake)

    batch = wakes(5)
    await act_on_each(harness.services, harness.operations, batch, act)
    assert acted == [batch[0], batch[1], batch[3], batch[4]]
    (message,) = harness.operations.messages.values()
    # Without its copy, which may be what fails.
    assert decode_message(message.body) == (replace(batch[2], copy=None, etag=None),)
    assert message.visible_at == START + 5 * SECOND


async def test_long_overdue_failure_is_left_to_the_repair(harness: Harness) -> None:
    async def fail(*_: object) -> None:
        raise ConnectionError

    harness.now = START + OVERDUE_GRACE
    await act_on_each(harness.services, harness.operations, wakes(2), fail)
    assert harness.operations.messages == {}


async def test_message_fails_if_its_failure_cannot_be_sent(harness: Harness) -> None:
    """The others are acted on before."""
    acted: list[str] = []

    async def act(_: Services, wake: WakeUp) -> None:
        if wake.key.row == "0":
            raise ConnectionError
        await asyncio.sleep(0)  # as long as the failure takes, and longer
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        acted.append(wake.key.row)

    class Unreachable(MemoryQueue):
        async def send_wake_up(self, *_: object) -> None:
            raise InterruptedStepError

    with pytest.raises(InterruptedStepError):
        await act_on_each(harness.services, Unreachable(harness.clock), wakes(3), act)
    assert acted == ["1", "2"]


async def test_each_wake_up_is_work_under_way(harness: Harness) -> None:
    entered: list[int] = []

    class UnderWay:
        def __enter__(self) -> None:
            entered.append(1)

        def __exit__(self, *_: object) -> None:
            entered.append(-1)

    async def act(*_: object) -> None:
        raise ConnectionError

    services = replace(harness.services, under_way=UnderWay)
    await act_on_each(services, harness.operations, wakes(2), act)
    assert (sum(entered), len(entered)) == (0, 4)


# --- before and after a commit


async def test_near_wait_is_a_message(harness: Harness) -> None:
    await start_waiting(harness.services, watch_chain(harness.services), WATCH)
    (wake,) = harness.wake_ups(harness.operations)
    assert (wake.key, wake.seq, wake.due_at) == (KEY, 3, START)
    assert not harness.store.lookahead.rows


async def test_far_wait_has_a_look_ahead(harness: Harness) -> None:
    await start_waiting(harness.services, watch_chain(harness.services), FAR)
    assert harness.wake_ups(harness.operations) == []
    (message,) = harness.operations.messages.values()
    assert decode_message(message.body) == Look(1, START)
    assert harness.store.lookahead.values() == [begin("watches", START)]
    assert harness.effects.names == ["lookahead.insert", "operations.send"]


async def test_new_row_that_a_look_may_have_passed_is_woken(harness: Harness) -> None:
    """It took long to write it."""
    soon = replace(FAR, due_at=START + 9 * SECOND)
    await start_waiting(harness.services, watch_chain(harness.services), soon)
    (wake,) = harness.wake_ups(harness.operations)
    assert (wake.key, wake.due_at) == (KEY, soon.due_at)


async def test_registration_that_takes_long_wakes_its_row(harness: Harness) -> None:
    """A look may have passed it between its insertion and the check of the look-ahead."""
    start = (START + 30 * SECOND).isoformat()
    harness.post(startTime=start)
    (message,) = harness.operations.messages.values()
    harness.operations.messages.clear()
    posted = harness.services.intake.read(message.body, START)
    assert isinstance(posted, Registration)

    async def stall() -> None:
        harness.advance(seconds=30)

    harness.effects.before["timeline.insert"] = stall
    await register(harness.services, posted, START)
    assert harness.watch.far
    assert harness.seqs(harness.operations) == [1]


async def test_delivery_that_takes_long_to_create_is_woken(harness: Harness) -> None:
    """The same for a first attempt that is made after a minute."""
    schedule = (timedelta(minutes=1),)
    policy = replace(harness.services.policy, callback_schedule=schedule)
    harness.services = replace(harness.services, policy=policy)

    async def stall() -> None:
        harness.advance(seconds=55)

    harness.status = ended()
    harness.effects.before["lookahead.insert"] = stall
    await operations_message(harness.services, harness.registration_body(HOOK))
    assert harness.pending.far
    assert harness.seqs(harness.deliveries) == [1]


async def test_chains_have_look_aheads_of_their_own(harness: Harness) -> None:
    await before_commit(harness.services, watch_chain(harness.services), FAR)
    late = delivery(far=True, next_attempt_at=START + timedelta(hours=1))
    await before_commit(harness.services, delivery_chain(harness.services), late)
    assert {row.table for row in harness.store.lookahead.values()} == {"watches", "outbox"}
    assert len(harness.deliveries.messages) == len(harness.operations.messages) == 1


@pytest.mark.parametrize(("took", "sent"), [(0, 0), (287, 0), (288, 1), (400, 1)])
async def test_slow_commit_sends_its_own_wake_up(harness: Harness, took: int, sent: int) -> None:
    """A look may have passed the row before it was written."""
    harness.advance(seconds=took)
    await after_commit(harness.services, watch_chain(harness.services), FAR)
    assert len(harness.wake_ups(harness.operations)) == sent


async def test_slow_commit_starts_the_look_ahead_again(harness: Harness) -> None:
    """It had found nothing to wait for, and had ended before the row was written."""
    far = replace(FAR, due_at=START + timedelta(hours=1))
    await before_commit(harness.services, watch_chain(harness.services), far)
    while harness.operations.messages:
        harness.advance(seconds=5)
        await harness.pump()
    assert not harness.store.lookahead.rows
    await after_commit(harness.services, watch_chain(harness.services), far)
    assert harness.store.lookahead.rows
    (message,) = harness.operations.messages.values()
    assert isinstance(decode_message(message.body), Look)


@pytest.mark.parametrize(("took", "sent"), [(0, 0), (117, 0), (118, 1), (400, 1)])
async def test_near_wait_whose_message_was_given_up_is_woken(
    harness: Harness, took: int, sent: int
) -> None:
    """Until its row was written, each arrival of its message was too early."""
    harness.advance(seconds=took)
    await after_commit(harness.services, watch_chain(harness.services), WATCH)
    assert len(harness.wake_ups(harness.operations)) == sent


async def test_first_wake_up_of_a_late_row_is_sent_once(harness: Harness) -> None:
    """Two would call a receiver twice."""
    harness.advance(minutes=6)
    await start_waiting(harness.services, delivery_chain(harness.services), delivery())
    assert len(harness.wake_ups(harness.deliveries)) == 1


async def test_wake_up_of_a_slow_commit_is_sent_twice_if_it_fails(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that led to the commit is stale after it."""
    harness.advance(minutes=6)
    send, failures = harness.operations.send_wake_up, [ConnectionError]

    async def send_or_fail(wake: WakeUp, delay: timedelta) -> None:
        if failures:
            raise failures.pop()
        await send(wake, delay)

    monkeypatch.setattr(harness.operations, "send_wake_up", send_or_fail)
    await after_commit(harness.services, watch_chain(harness.services), FAR)
    assert len(harness.wake_ups(harness.operations)) == 1


async def test_wake_up_of_a_slow_commit_is_sent_without_a_look_ahead(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What made the commit slow may keep the row of the look-ahead from being read, too."""

    async def fail(_: Key) -> None:
        raise ConnectionError

    harness.advance(minutes=6)
    monkeypatch.setattr(harness.store.lookahead, "get", fail)
    with pytest.raises(ConnectionError):
        await after_commit(harness.services, watch_chain(harness.services), FAR)
    assert len(harness.wake_ups(harness.operations)) == 1


async def test_poll_that_takes_long_sends_its_own_wake_up(harness: Harness) -> None:
    await harness.watched()
    harness.operations.messages.clear()
    harness.now = harness.watch.due_at
    harness.services.budget.delay = (  # type: ignore[method-assign]
        lambda *_, **__: 20 * SECOND
    )

    async def stall() -> None:
        harness.advance(seconds=15)

    harness.effects.before["watches.merge"] = stall
    await poll(harness.services, WakeUp(key=harness.watch.key, seq=2))
    assert harness.watch.far
    (wake,) = harness.wake_ups(harness.operations)
    assert (wake.seq, wake.due_at) == (3, harness.watch.due_at)


# --- the look-ahead is kept running


async def keep(harness: Harness) -> None:
    await keep_looking(harness.services, watch_chain(harness.services))


async def test_running_look_ahead_is_read_every_thirty_seconds(harness: Harness) -> None:
    await keep(harness)
    reads = 0
    get = harness.store.lookahead.get

    async def counted(key: Key) -> Any:
        nonlocal reads
        reads += 1
        return await get(key)

    harness.store.lookahead.get = counted  # type: ignore[method-assign]
    harness.services = replace(
        harness.services, store=replace(harness.services.store, lookahead=harness.store.lookahead)
    )
    for _ in range(30):
        await keep(harness)
        harness.advance(seconds=1)
    assert reads == 0
    row = await get(key_of("watches"))
    assert row is not None
    await harness.store.lookahead.put(replace(row.value, due_at=harness.now))
    await keep(harness)
    assert reads == 1
    assert harness.services.trusted_looks["watches"] == trusted_until(harness.now)


async def test_dead_look_ahead_is_restarted(harness: Harness) -> None:
    await keep(harness)
    harness.operations.messages.clear()
    harness.advance(minutes=1)
    await keep(harness)
    (message,) = harness.operations.messages.values()
    assert decode_message(message.body) == Look(2, harness.now)
    (row,) = harness.store.lookahead.values()
    assert (row.seq, row.due_at, row.looked_until) == (2, harness.now, START - 60 * SECOND)


@pytest.mark.parametrize("looks", [0, 3])
async def test_look_that_waits_in_a_long_queue_is_not_replaced(
    harness: Harness, looks: int
) -> None:
    """Each new message would make the one that waits stale, and no look would ever be made."""
    for _ in range(looks):
        await keep(harness)
        await harness.pump()
        harness.advance(seconds=5)
    await keep(harness)
    (message,) = harness.operations.messages.values()
    for _ in range(5):  # it is behind others, which are not received
        harness.advance(seconds=31)
        await keep(harness)
        await repair(harness.services)
    assert list(harness.operations.messages.values()) == [message]
    harness.operations.messages.clear()  # now it is lost
    await keep(harness)
    harness.advance(seconds=31)
    await keep(harness)
    assert len(harness.operations.messages) == 1


async def test_look_ahead_that_may_end_is_told_to_go_on(harness: Harness) -> None:
    empty = replace(begin("watches", START), empty_looks=12)
    await harness.store.lookahead.put(empty)
    await keep(harness)
    assert harness.store.lookahead.values() == [replace(empty, empty_looks=0)]
    assert harness.operations.messages == {}


async def test_look_ahead_that_ends_meanwhile_is_begun_again(harness: Harness) -> None:
    """It was read as running, and its last look removes it before it can be changed."""
    await harness.store.lookahead.put(replace(begin("watches", START), empty_looks=12))
    harness.effects.before["lookahead.replace"] = lambda: harness.store.lookahead.delete(
        key_of("watches")
    )
    await keep(harness)
    assert harness.store.lookahead.values() == [begin("watches", START)]
    assert len(harness.operations.messages) == 1


async def test_only_one_of_two_workers_starts_it(harness: Harness) -> None:

    async def start_first() -> None:
        harness.advance(seconds=1)
        await keep(harness)
        harness.services.trusted_looks.clear()

    harness.effects.before["lookahead.insert"] = start_first
    await keep(harness)
    (row,) = harness.store.lookahead.values()
    looks = [decode_message(m.body) for m in harness.operations.messages.values()]
    assert looks == [row.next_look] == [Look(1, START + SECOND)]


async def test_only_one_of_two_workers_restarts_it(harness: Harness) -> None:
    await keep(harness)
    harness.operations.messages.clear()
    harness.advance(minutes=1)

    async def restart_first() -> None:
        harness.advance(seconds=1)
        await keep(harness)
        harness.services.trusted_looks.clear()

    harness.effects.before["lookahead.replace"] = restart_first
    await keep(harness)
    (row,) = harness.store.lookahead.values()
    looks = [decode_message(m.body) for m in harness.operations.messages.values()]
    assert looks == [row.next_look] == [Look(2, harness.now)]


async def test_start_that_is_cut_off_is_made_good(harness: Harness) -> None:
    """The row was written, and the message was not sent: the look-ahead is dead."""
    await interrupt(harness, keep(harness), after=1)
    assert harness.store.lookahead.rows
    assert not harness.operations.messages
    harness.advance(seconds=16)
    await keep(harness)
    (message,) = harness.operations.messages.values()
    assert decode_message(message.body) == Look(2, harness.now)


async def test_delay_is_at_most_a_queues(harness: Harness) -> None:
    """A row may be due later: such as one that a clock that is ahead has written."""
    due = watch(due_at=harness.now + timedelta(days=8))
    await send_wake_up(harness.services, watch_chain(harness.services), due)
    (message,) = harness.operations.messages.values()
    assert message.visible_at - harness.now == timedelta(days=7)
