"""The repair: overdue rows are woken, look-aheads restarted, poison messages sent back."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from opswatch.core.keys import Key
from opswatch.core.lookahead import Look, key_of
from opswatch.core.wakeups import OVERDUE_GRACE, WakeUp
from opswatch.ports import Query, Row
from opswatch.rows.messages import decode_message, encode_look
from opswatch.steps import repair as repairing
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from opswatch.steps.repair import repair
from opswatch.testing import MemoryPoisonQueue, MemoryTelemetry
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
    running,
    wake_up_message,
)

SECOND = timedelta(seconds=1)


async def lose_wake_up(harness: Harness) -> None:
    """Register the operation, poll it once, and lose its next message for three minutes."""
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.advance(minutes=3)


async def outage(*_: object) -> Any:
    raise InterruptedStepError


# --- overdue rows


async def test_watch_without_wake_up_is_rescued(harness: Harness) -> None:
    await lose_wake_up(harness)
    before = harness.watch
    harness.effects.names.clear()
    await repair(harness.services)
    assert harness.effects.names == ["operations.send_wake_up"]
    assert harness.watch == before  # the same seq: a wake-up that was only late counts, too
    (wake,) = harness.wake_ups(harness.operations)
    assert (wake.key, wake.seq, wake.due_at) == (KEY, before.seq, before.due_at)
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_delivery_without_wake_up_is_rescued(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    harness.deliveries.messages.clear()
    harness.advance(minutes=3)
    await repair(harness.services)
    (wake,) = harness.wake_ups(harness.deliveries)
    assert (wake.seq, wake.due_at) == (1, harness.pending.next_attempt_at)
    await harness.settle()
    assert harness.called() == [HOOK]
    assert harness.settled.attempts == 1


@pytest.mark.parametrize("late", [-1, 0, 119])
async def test_row_within_the_grace_is_left(harness: Harness, late: int) -> None:
    watch = await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.now = watch.due_at + timedelta(seconds=late)
    before = harness.rows()
    await repair(harness.services)
    assert harness.rows() == before
    assert harness.seqs(harness.operations) == []


@pytest.mark.parametrize("is_long", [True, False])
async def test_row_whose_wake_up_waits_in_a_long_queue_is_left(
    harness: Harness, *, is_long: bool
) -> None:
    """The message at the head of the queue has been waiting for so long, and so may the others."""
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    if is_long:
        harness.operations.post(b"a post")
    harness.advance(minutes=60)
    await repair(harness.services)
    assert harness.seqs(harness.operations) == ([] if is_long else [2])


async def test_queue_with_a_delayed_message_at_its_head_does_not_lag(harness: Harness) -> None:
    await lose_wake_up(harness)
    due_at = harness.now + timedelta(minutes=5)
    harness.operations.post(wake_up_message(WakeUp(key=Key("p", "r"), seq=1, due_at=due_at)))
    harness.now = due_at
    await repair(harness.services)
    assert KEY in [wake.key for wake in harness.wake_ups(harness.operations)]


async def test_forged_message_does_not_hide_overdue_rows(harness: Harness) -> None:
    """It claims to be due long ago: a queue lags no longer than its message is old."""
    await lose_wake_up(harness)
    forged = WakeUp(key=Key("p", "r"), seq=1, due_at=START - timedelta(days=9))
    harness.operations.post(wake_up_message(forged))
    await repair(harness.services)
    assert KEY in [wake.key for wake in harness.wake_ups(harness.operations)]


@pytest.mark.parametrize("table", ["watches", "outbox"])
async def test_run_rescues_so_many_rows_of_a_table(
    harness: Harness, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "_MOST_RESCUED", 50)
    for number in range(55):
        key = Key("subscription", f"{number:04}")
        if table == "watches":
            named = replace(builders.operation(), key=key)
            await harness.store.watches.put(builders.watch(operation=named, due_at=START))
        else:
            delivery = replace(builders.delivery(key=key), next_attempt_at=START)
            await harness.store.outbox.put(delivery)
    before = harness.rows()[table]
    queue = harness.operations if table == "watches" else harness.deliveries
    harness.now = START + OVERDUE_GRACE + SECOND
    await repair(harness.services)
    assert harness.seqs(queue) == [1] * 50
    assert harness.rows()[table] == before


async def test_long_overdue_row_gets_a_message_of_its_own(harness: Harness) -> None:
    """It may be what breaks the worker, with all that come in the same message."""
    await lose_wake_up(harness)
    harness.advance(minutes=8)
    harness.effects.names.clear()
    await repair(harness.services)
    assert harness.effects.names == ["operations.send"]
    assert harness.seqs(harness.operations) == [2]


async def test_repeated_rescues_poll_once(harness: Harness) -> None:
    await lose_wake_up(harness)
    for _ in range(3):
        await repair(harness.services)
    assert harness.seqs(harness.operations) == [2, 2, 2]
    asked = len(harness.arm.asked)
    await harness.pump_all()
    assert len(harness.arm.asked) == asked + 1


async def test_long_outage_of_a_queue_leaves_few_messages(harness: Harness) -> None:
    """Rescues of before wait in the queue: it lags, and no others are sent."""
    await harness.watched(HOOK)
    minutes = 24 * 60
    for _ in range(minutes):
        harness.advance(minutes=1)
        await repair(harness.services)
    assert len(harness.operations.messages) <= 2
    asked = len(harness.arm.asked)
    harness.status = ended()
    await harness.settle()
    assert len(harness.arm.asked) == asked + 1
    assert harness.called() == [HOOK]


async def test_rescue_of_a_row_that_moves_on_is_stale(harness: Harness) -> None:
    await lose_wake_up(harness)
    harness.effects.before["operations.send_wake_up"] = lambda: poll(
        harness.services, WakeUp(key=KEY, seq=2)
    )
    await repair(harness.services)
    asked = len(harness.arm.asked)
    rescue = next(wake for wake in harness.wake_ups(harness.operations) if wake.seq == 2)
    await poll(harness.services, rescue)
    assert len(harness.arm.asked) == asked
    assert harness.watch.seq == 3


async def test_interrupted_repair_forks_nothing(harness: Harness) -> None:
    await lose_wake_up(harness)
    await interrupt(harness, repair(harness.services), after=1)
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [2, 2]
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


# --- look-aheads


async def wait_far(harness: Harness) -> None:
    """Let the watch wait for an hour, as its row alone."""
    harness.status = running(**{"retry-after": "3000"})
    await harness.watched(HOOK)
    assert harness.watch.far


@pytest.mark.parametrize("seconds", [25, 40], ids=["while it is trusted", "later"])
@pytest.mark.parametrize("has_row", [True, False])
async def test_dead_look_ahead_is_restarted(
    harness: Harness, seconds: int, *, has_row: bool
) -> None:
    await wait_far(harness)
    harness.operations.messages.clear()
    if not has_row:
        await harness.store.lookahead.delete(key_of("watches"))
    harness.advance(seconds=seconds)
    await repair(harness.services)
    assert [decode_message(m.body) for m in harness.operations.messages.values()] == [
        state.next_look for state in harness.store.lookahead.values()
    ]
    harness.status = ended()
    due_at = harness.watch.due_at
    await harness.settle()
    assert harness.result.facts.last_polled_at == due_at


@pytest.mark.parametrize("minutes", [3, 30])
async def test_overdue_far_row_is_left_to_a_restarted_look_ahead(
    harness: Harness, minutes: int
) -> None:
    await wait_far(harness)
    harness.operations.messages.clear()
    harness.now = harness.watch.due_at + timedelta(minutes=minutes)
    await repair(harness.services)
    assert harness.wake_ups(harness.operations) == []
    before = len(harness.arm.asked)
    await harness.pump_all()
    assert len(harness.arm.asked) == before + 1


async def test_overdue_near_row_is_left_to_no_look_ahead(harness: Harness) -> None:
    await wait_far(harness)
    harness.operations.messages.clear()
    due_at = harness.watch.due_at
    near = builders.watch(due_at=due_at, far=False)
    await harness.store.watches.put(near)
    harness.now = due_at + timedelta(minutes=3)
    await repair(harness.services)
    assert [wake.key for wake in harness.wake_ups(harness.operations)] == [near.key]


@pytest.mark.parametrize("failing", ["lookahead.get", "lookahead.replace", "operations.send"])
async def test_overdue_far_row_is_rescued_if_the_look_ahead_cannot_be_restarted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    await wait_far(harness)
    harness.operations.messages.clear()
    harness.now = harness.watch.due_at + OVERDUE_GRACE + timedelta(minutes=1)
    name, verb = failing.split(".")
    port = harness.store.lookahead if name == "lookahead" else harness.services.operations
    monkeypatch.setattr(port, verb, outage, raising=False)
    with pytest.raises(InterruptedStepError):
        await repair(harness.services)
    assert harness.seqs(harness.operations) == [harness.watch.seq]


@pytest.mark.parametrize(("minutes", "rescued"), [(9, False), (11, True)])
async def test_long_overdue_far_row_is_rescued_from_a_running_look_ahead(
    harness: Harness, minutes: int, *, rescued: bool
) -> None:
    await wait_far(harness)
    harness.operations.messages.clear()
    harness.now = harness.watch.due_at + timedelta(minutes=minutes)
    (look,) = harness.store.lookahead.values()
    await harness.store.lookahead.put(replace(look, due_at=harness.now))
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [harness.watch.seq] * rescued


@pytest.mark.parametrize(("minutes", "rescued"), [(10, False), (12, True)])
async def test_long_overdue_far_row_is_rescued_from_restarts(
    harness: Harness, minutes: int, *, rescued: bool
) -> None:
    """Each look is lost: the look-ahead was restarted a minute ago, and is dead again."""
    await wait_far(harness)
    harness.operations.messages.clear()
    harness.now = harness.watch.due_at + timedelta(minutes=minutes)
    (look,) = harness.store.lookahead.values()
    lost = replace(look, due_at=harness.now - timedelta(minutes=1))
    await harness.store.lookahead.put(lost)
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [harness.watch.seq] * rescued
    (restarted,) = harness.store.lookahead.values()
    assert restarted.seq == look.seq + 1


@pytest.mark.parametrize(
    ("is_received", "seconds", "rescued"),
    [(True, 60, False), (True, 115, False), (True, 125, True), (False, 500, False)],
)
async def test_row_that_was_just_woken_late_is_not_rescued(
    harness: Harness, seconds: int, *, is_received: bool, rescued: bool
) -> None:
    """The app was stopped; a second wake-up would call a receiver that is slow twice."""
    await wait_far(harness)
    harness.operations.messages.clear()
    harness.now = harness.watch.due_at + timedelta(minutes=30)
    await repair(harness.services)
    (message,) = harness.operations.receive()
    await operations_message(harness.services, message.body)
    seq = harness.watch.seq
    assert harness.seqs(harness.operations) == [seq]
    if is_received:  # and not done yet
        harness.operations.messages.clear()
    harness.advance(seconds=seconds)
    (look,) = harness.store.lookahead.values()
    await harness.store.lookahead.put(replace(look, due_at=harness.now))  # it still runs
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [seq] * (rescued or not is_received)


async def test_dead_look_ahead_that_nothing_needs_is_removed(harness: Harness) -> None:
    await wait_far(harness)
    harness.operations.messages.clear()
    harness.status = ended()
    await poll(harness.services, WakeUp(key=KEY, seq=harness.watch.seq))
    harness.advance(seconds=40)
    await repair(harness.services)
    assert not harness.store.lookahead.rows
    assert not harness.operations.messages


async def test_running_look_ahead_is_left(harness: Harness) -> None:
    await wait_far(harness)
    before = harness.rows(), len(harness.operations.messages)
    await repair(harness.services)
    assert (harness.rows(), len(harness.operations.messages)) == before


async def test_row_of_a_running_look_ahead_is_read_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wait_far(harness)
    looks, read = harness.store.lookahead, list[Key]()
    get = looks.get

    async def counted(key: Key) -> Any:
        read.append(key)
        return await get(key)

    monkeypatch.setattr(looks, "get", counted, raising=False)
    await repair(harness.services)
    assert sorted(key.row for key in read) == sorted(key_of(n).row for n in ("outbox", "watches"))


async def test_nothing_to_wait_for_needs_no_look_ahead(harness: Harness) -> None:
    await harness.watched(HOOK)
    assert not harness.watch.far
    await repair(harness.services)
    assert not harness.store.lookahead.rows


# --- poison messages


async def test_single_poisoned_wake_up_is_left_to_its_row(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    for seq in (1, 2, 3):
        harness.poison.post(wake_up_message(WakeUp(key=KEY, seq=seq)))
    harness.poison.post(encode_look(Look(3, START)))
    await repair(harness.services)
    assert not harness.poison.messages
    assert not harness.operations.messages  # a row without a wake-up is rescued once it is overdue


async def test_wake_ups_of_a_poisoned_batch_go_alone(harness: Harness) -> None:
    wakes = [WakeUp(key=Key("p", f"{number}"), seq=number, due_at=START) for number in range(5)]
    copied = [replace(wake, copy=builders.watch(), etag='"1"') for wake in wakes]
    harness.poison.post(wake_up_message(*copied))
    await repair(harness.services)
    assert not harness.poison.messages
    bodies = [message.body for message in harness.operations.messages.values()]
    assert [decode_message(body) for body in bodies] == [(wake,) for wake in wakes]


async def test_overdue_row_of_a_poisoned_batch_gets_one_wake_up(harness: Harness) -> None:
    await lose_wake_up(harness)
    wake = WakeUp(key=KEY, seq=harness.watch.seq)
    harness.poison.post(wake_up_message(wake, WakeUp(key=Key("p", "other"), seq=1)))
    await repair(harness.services)
    bodies = [message.body for message in harness.operations.messages.values()]
    assert [decode_message(body) for body in bodies].count((wake,)) == 1
    assert len(bodies) == 2


@pytest.mark.parametrize("body", [None, b"\xff\xfe nonsense"])
async def test_poisoned_post_goes_back(harness: Harness, body: bytes | None) -> None:
    body = body or harness.registration_body(HOOK)
    harness.poison.post(body)
    await repair(harness.services)
    assert not harness.poison.messages
    (back,) = harness.operations.messages.values()
    assert back.body == body
    harness.status = ended()
    await harness.settle()
    assert harness.called() == ([HOOK] if harness.store.results.rows else [])
    assert len(harness.store.results.rows) + len(harness.store.rejections.rows) == 1


async def test_poisoned_post_that_cannot_be_sent_stays(harness: Harness) -> None:
    """Another run sends it."""
    harness.poison.post(harness.registration_body(HOOK))
    harness.effects.before["operations.send"] = outage
    with pytest.raises(InterruptedStepError):
        await repair(harness.services)
    assert len(harness.poison.messages) == 1
    await repair(harness.services)
    assert len(harness.poison.messages) == 1  # hidden for a while
    harness.advance(minutes=2)
    await repair(harness.services)
    assert not harness.poison.messages
    await harness.pump()
    assert harness.watch.facts.callbacks == (HOOK,)


async def test_interrupted_drain_loses_no_post(harness: Harness) -> None:
    harness.poison.post(harness.registration_body(HOOK))
    await interrupt(harness, repair(harness.services), after=1)
    assert len(harness.poison.messages) == len(harness.operations.messages) == 1
    harness.advance(minutes=2)
    await repair(harness.services)
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_poison_messages_that_were_handled_are_in_the_summary(harness: Harness) -> None:
    for number in range(3):
        harness.poison.post(f"rubbish {number} !".encode())
    await repair(harness.services)
    assert not harness.poison.messages
    (summary,) = harness.store.summary.values()
    assert summary.poisoned == {"operations": 3}


async def test_drain_ends_when_its_time_is_up(harness: Harness) -> None:
    """Each message takes a second, as if the storage were slow; the rest is left to other runs."""

    class Endless(MemoryPoisonQueue):
        async def remove(self, poisoned: Any) -> None:
            harness.advance(seconds=1)
            await super().remove(poisoned)
            self.queue.post(b"another")

    harness.poison.post(b"first")
    poison = Endless(harness.poison)
    began = harness.now
    await repair(replace(harness.services, poison=(poison,)))
    assert 15 * SECOND <= harness.now - began <= 50 * SECOND
    assert harness.poison.messages


# --- its parts


class Broken:
    """A port of which every call fails."""

    def __getattr__(self, _: str) -> Any:
        return outage

    async def find(self, _: Query) -> AsyncIterator[Row[Any]]:
        await outage()
        yield Row(None, "")


async def test_failing_poison_queue_stops_no_other_part(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await lose_wake_up(harness)
    telemetry = MemoryTelemetry()
    with pytest.raises(InterruptedStepError):
        await repair(replace(harness.services, poison=(Broken(),), telemetry=telemetry))
    assert harness.seqs(harness.operations) == [2]
    assert 'part="poison of operations"' in caplog.text
    names = [metric.name for metric, _, _ in telemetry.measured]
    assert "opswatch.watches.active" in names
    assert "opswatch.heartbeat" not in names


async def test_failing_table_stops_no_other_part(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    harness.deliveries.messages.clear()
    harness.advance(minutes=3)
    store = replace(harness.services.store, watches=Broken())
    with pytest.raises(InterruptedStepError):
        await repair(replace(harness.services, store=store))
    assert harness.seqs(harness.deliveries) == [1]


@pytest.mark.parametrize("broken", ["hosts", "hours", "pending", "summary"])
async def test_failing_summary_leaves_measurements(harness: Harness, broken: str) -> None:
    await lose_wake_up(harness)
    late = (harness.now - harness.watch.due_at).total_seconds()
    telemetry = MemoryTelemetry()
    store = replace(harness.services.store, **{broken: Broken()})
    with pytest.raises(InterruptedStepError):
        await repair(replace(harness.services, store=store, telemetry=telemetry))
    measured = {
        (metric.name, *kinds.values()): value for metric, value, kinds in telemetry.measured
    }
    assert measured["opswatch.watches.active",] == 1
    assert measured["opswatch.watches.oldest_overdue",] == late
    assert ("opswatch.queue.depth", "operations") in measured


async def test_unreadable_row_hides_no_other(harness: Harness) -> None:
    await lose_wake_up(harness)
    broken = {"PartitionKey": "", "RowKey": "a", "dueAt": START, "seq": "x"}
    harness.store.watches.rows[Key("", "a")] = (broken, "1")
    await repair(harness.services)
    assert harness.seqs(harness.operations) == [2]
    assert harness.store.watches.unreadable


async def test_heartbeat_comes_last(harness: Harness) -> None:
    telemetry = MemoryTelemetry()
    await repair(replace(harness.services, telemetry=telemetry))
    assert [metric.name for metric, _, _ in telemetry.measured][-1] == "opswatch.heartbeat"
