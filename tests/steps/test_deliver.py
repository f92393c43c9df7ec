"""One delivery: its schedule, its end, its host, and copies of its message."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.deliveries import Delivery, DeliveryState, attempt_at, count_attempt
from opswatch.core.hosts import OPENS_AFTER, Acquired, Busy, HostCircuit
from opswatch.core.http import NoAnswer
from opswatch.core.wakeups import WakeUp
from opswatch.core.webhook import Attempt, event
from opswatch.ports import Row
from opswatch.steps.deliver import deliver
from opswatch.steps.poll import poll
from opswatch.steps.repair import repair
from opswatch.steps.wakeups import delivery_chain, keep_looking
from tests.steps.conftest import answer, interrupt
from tests.support.harness import HOOK, KEY, POLICY, Harness, ended

HOST = "hooks.example.com"
SECOND = timedelta(seconds=1)


@pytest.fixture
async def harness() -> Harness:
    """A harness with one delivery that has not been attempted."""
    harness = Harness()
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.status = ended("Failed")
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    harness.effects.names.clear()
    return harness


def wake(harness: Harness) -> WakeUp:
    return WakeUp(key=harness.pending.key, seq=harness.pending.seq)


async def circuit(harness: Harness, failures: int, **open_for: float) -> HostCircuit:
    """Store the circuit of the receiver's host."""
    open_until = harness.now + timedelta(**open_for)
    stored = HostCircuit(name=HOST, failures=failures, open_until=open_until)
    await harness.store.hosts.put(stored)
    return stored


# --- the schedule and the end


async def test_accepted_attempt_settles_delivery(harness: Harness) -> None:
    await harness.pump()
    assert harness.effects.names == [
        "callbacks.post", "deliveries.insert", "settled.put", "outbox.delete",
    ]  # fmt: skip
    settled = harness.settled
    assert (settled.state, settled.attempts, settled.delivered_at) == (
        DeliveryState.DELIVERED, 1, harness.now,
    )  # fmt: skip
    assert not harness.store.outbox.rows
    assert not harness.deliveries.messages
    (request,) = harness.callbacks.requests
    assert request.headers["webhook-id"] == settled.delivery_id
    assert request.body == event(harness.result, settled.delivery_id)


async def test_failures_follow_schedule_until_abandoned(harness: Harness) -> None:
    answer(harness, 500)
    began = harness.now
    await harness.settle()
    settled = harness.settled
    assert (settled.state, settled.reason, settled.attempts) == (
        DeliveryState.ABANDONED, "500", len(POLICY.callback_schedule),
    )  # fmt: skip
    gaps = [attempt.at - began for attempt in settled.attempt_log]
    for gap, least in zip(gaps, (0, 4, 4 + 240), strict=True):
        assert timedelta(seconds=least) <= gap <= timedelta(seconds=least * 1.6 + 2)
    headers = [request.headers for request in harness.callbacks.requests]
    assert len({header["webhook-id"] for header in headers}) == 1
    assert [header["opswatch-attempt"] for header in headers] == ["1", "2", "3"]


async def test_retry_is_sent_before_its_row(harness: Harness) -> None:
    answer(harness, 500)
    await harness.pump()
    assert harness.effects.names == [
        "callbacks.post", "deliveries_queue.send_wake_up", "outbox.replace", "hosts.insert",
    ]  # fmt: skip
    assert (harness.pending.seq, harness.pending.attempts) == (2, 1)
    (again,) = harness.wake_ups(harness.deliveries)
    assert (again.seq, again.due_at) == (2, harness.pending.next_attempt_at)


async def test_far_retry_is_its_row_alone(harness: Harness) -> None:
    answer(harness, 401, 204)
    await harness.pump()
    # The look-ahead runs before the row is committed that needs it.
    assert harness.effects.names == [
        "callbacks.post", "lookahead.insert", "deliveries_queue.send", "outbox.replace",
    ]  # fmt: skip
    due_at = harness.pending.next_attempt_at
    assert harness.pending.far
    assert harness.wake_ups(harness.deliveries) == []
    await harness.settle()
    assert harness.settled.state is DeliveryState.DELIVERED
    assert harness.settled.attempt_log[-1].at == due_at


async def test_gone_receiver_is_not_called_again(harness: Harness) -> None:
    answer(harness, 410)
    await harness.settle()
    assert (harness.settled.state, harness.settled.reason) == (DeliveryState.ABANDONED, "410")
    assert harness.called() == [HOOK]


async def test_delivery_of_purged_result_is_abandoned(harness: Harness) -> None:
    await harness.store.results.delete(KEY)
    await harness.settle()
    assert (harness.settled.state, harness.settled.reason) == (
        DeliveryState.ABANDONED, "the result has been purged",
    )  # fmt: skip
    assert harness.called() == []


async def test_missing_secret_postpones_without_counting_attempt(harness: Harness) -> None:
    services = replace(harness.services, secrets=())
    for _ in range(3):
        seq = harness.pending.seq
        await deliver(services, wake(harness))
        assert (harness.pending.seq, harness.pending.attempts) == (seq + 1, 0)
        assert harness.pending.next_attempt_at is not None
        delay = harness.pending.next_attempt_at - harness.now
        assert timedelta(minutes=1) <= delay <= timedelta(seconds=91)  # of two minutes, at most
        harness.advance(seconds=91)
    assert "OPSWATCH_CALLBACK_SECRETS" in (harness.pending.last_error or "")
    await harness.settle()
    assert (harness.settled.state, harness.settled.attempts) == (DeliveryState.DELIVERED, 1)


# --- copies of a message, and crashes


@pytest.mark.parametrize(
    ("seq", "attempts", "sent"),
    [(1, 0, []), (2, 1, []), (3, 0, [3])],
    ids=["stale", "due", "early"],
)
async def test_fence(harness: Harness, seq: int, attempts: int, sent: list[int]) -> None:
    answer(harness, 500)
    await harness.pump()
    harness.deliveries.messages.clear()
    harness.now = due_at = harness.pending.next_attempt_at or harness.now
    before = len(harness.callbacks.requests)
    await deliver(harness.services, WakeUp(key=harness.pending.key, seq=seq, due_at=due_at))
    assert len(harness.callbacks.requests) - before == attempts
    assert harness.seqs(harness.deliveries) == sent
    assert harness.pending.seq == 2 + attempts  # then it waits far, as its row alone


async def test_concurrent_copies_settle_one_delivery(harness: Harness) -> None:
    """The second attempt is accepted, then the first one is refused: it stays delivered."""
    again = wake(harness)
    answer(harness, 410, 204)
    harness.effects.before["deliveries.insert"] = lambda: deliver(harness.services, again)
    await deliver(harness.services, again)
    assert harness.settled.state is DeliveryState.DELIVERED
    assert harness.called() == [HOOK, HOOK]
    assert not harness.store.outbox.rows


async def test_successor_of_conflicting_attempt_is_stale(harness: Harness) -> None:
    answer(harness, 500)
    again = wake(harness)
    harness.deliveries.messages.clear()

    async def copy() -> None:
        harness.advance(seconds=1)
        await deliver(harness.services, again)

    harness.effects.before["outbox.replace"] = copy
    await deliver(harness.services, again)
    assert harness.seqs(harness.deliveries) == [2, 2]
    assert harness.pending.seq == 2
    answer(harness, 204)
    await harness.settle()
    assert len(harness.called()) == 3


async def test_failure_after_a_copys_success_is_dropped(harness: Harness) -> None:
    again = wake(harness)
    harness.deliveries.messages.clear()
    answer(harness, 401, 204)
    harness.effects.before["outbox.replace"] = lambda: deliver(harness.services, again)
    await deliver(harness.services, again)
    await harness.settle()
    assert harness.settled.state is DeliveryState.DELIVERED
    assert not harness.store.outbox.rows


async def test_row_moved_by_a_copy_is_removed(harness: Harness) -> None:
    again = wake(harness)
    answer(harness, 204, 401)
    harness.effects.before["outbox.delete"] = lambda: harness.store.outbox.put(
        replace(harness.pending, seq=2, attempts=1, round_attempts=1)
    )
    await deliver(harness.services, again)
    assert harness.settled.state is DeliveryState.DELIVERED
    assert not harness.store.outbox.rows


@pytest.mark.parametrize("code", [204, 401])
@pytest.mark.parametrize("cut_after", [1, 2, 3])
async def test_interrupted_attempt_costs_one_more_post(
    harness: Harness, cut_after: int, code: int
) -> None:
    answer(harness, code)
    again = wake(harness)
    harness.deliveries.messages.clear()
    await interrupt(harness, deliver(harness.services, again), after=cut_after)
    answer(harness, 204)
    await deliver(harness.services, again)
    harness.advance(minutes=10)
    await harness.pump()  # the queue is not behind
    await repair(harness.services)  # an attempt that counts may have lost its wake-up
    await harness.settle()
    assert harness.settled.state is DeliveryState.DELIVERED
    assert not harness.store.outbox.rows
    assert len(harness.called()) <= harness.settled.attempts + 1


async def test_settled_delivery_is_not_sent_again(harness: Harness) -> None:
    """A worker crashed between its record and the removal of its row."""
    again = wake(harness)
    await interrupt(harness, deliver(harness.services, again), after=2)
    before = harness.settled
    await deliver(harness.services, again)
    assert harness.called() == [HOOK]
    assert harness.settled == before
    assert not harness.store.outbox.rows


async def test_settled_row_is_removed_after_busy_host(harness: Harness) -> None:
    again = wake(harness)
    await interrupt(harness, deliver(harness.services, again), after=2)
    harness.callbacks.next_slot = Busy(timedelta(0))
    await deliver(harness.services, again)
    harness.callbacks.next_slot = Acquired()
    await harness.settle()
    assert harness.called() == [HOOK]
    assert not harness.store.outbox.rows


# --- the host


async def test_delivery_older_than_its_schedule_ignores_open_circuit(harness: Harness) -> None:
    """An outage of ours delayed it: the whole schedule went by without an attempt."""
    await circuit(harness, failures=99, days=1)
    await deliver(harness.services, wake(harness))
    assert harness.called() == []
    assert (harness.pending.attempts, harness.pending.last_error) == (0, "its host is paused")
    harness.advance(hours=1)
    await deliver(harness.services, wake(harness))
    assert harness.called() == [HOOK]
    assert harness.settled.state is DeliveryState.DELIVERED


async def test_concurrent_failures_are_all_counted(harness: Harness) -> None:
    answer(harness, 500)
    harness.effects.before["hosts.insert"] = lambda: circuit(harness, failures=1, seconds=-1)
    await deliver(harness.services, wake(harness))
    assert [host.failures for host in harness.store.hosts.values()] == [2]


async def test_failure_does_not_extend_a_new_pause(harness: Harness) -> None:
    """The circuit opened while the attempt was under way."""
    answer(harness, 500)
    harness.effects.before["callbacks.post"] = lambda: circuit(
        harness, failures=OPENS_AFTER, seconds=30
    )
    opened = HostCircuit(name=HOST, failures=OPENS_AFTER, open_until=harness.now + 30 * SECOND)
    await deliver(harness.services, wake(harness))
    assert harness.pending.attempts == 1
    assert harness.store.hosts.values() == [opened]


async def test_failed_probe_extends_the_pause(harness: Harness) -> None:
    answer(harness, 500)
    await circuit(harness, failures=OPENS_AFTER)
    await deliver(harness.services, wake(harness))
    assert harness.pending.attempts == 1
    assert [host.failures for host in harness.store.hosts.values()] == [OPENS_AFTER + 1]


async def test_busy_host_postpones_without_counting_attempt(harness: Harness) -> None:
    harness.deliveries.messages.clear()
    harness.callbacks.next_slot = Busy(timedelta(seconds=4))
    await deliver(harness.services, wake(harness))
    assert harness.effects.names == ["deliveries_queue.send_wake_up", "outbox.replace"]
    assert (harness.pending.seq, harness.pending.attempts) == (2, 0)
    (back_at,) = {message.visible_at for message in harness.deliveries.messages.values()}
    assert timedelta(seconds=4) <= back_at - harness.now <= timedelta(seconds=8)
    assert harness.pending.next_attempt_at == back_at


async def test_name_server_without_an_answer_is_no_attempt(harness: Harness) -> None:
    harness.callbacks.busy = Busy(timedelta(seconds=5))
    harness.deliveries.messages.clear()
    await deliver(harness.services, wake(harness))
    assert harness.called() == []
    assert (harness.pending.attempts, harness.pending.busy_since) == (0, harness.now)
    assert harness.pending.attempt_log == ()
    assert harness.store.hosts.values() == []


@pytest.mark.parametrize("where", ["at the host", "at the name server"])
@pytest.mark.parametrize("code", [204, 410])
async def test_delivery_busy_for_the_schedule_is_attempted(
    harness: Harness, where: str, code: int
) -> None:
    """Whatever the room, and whatever the circuit."""
    busy = Busy(timedelta(seconds=5))
    if where == "at the host":
        harness.callbacks.next_slot = busy
    else:
        harness.callbacks.busy = busy
    answer(harness, code)
    began = harness.now
    await harness.settle()
    assert harness.called() == [HOOK]
    assert harness.settled.attempts == 1
    whole = sum(POLICY.callback_schedule, timedelta(0))
    (attempt,) = harness.settled.attempt_log
    assert whole <= attempt.at - began <= whole + timedelta(seconds=125)


async def test_forced_attempts_end_a_delivery_that_stays_busy(harness: Harness) -> None:
    harness.callbacks.busy = Busy(timedelta(seconds=5))
    harness.callbacks.answer = lambda _: NoAnswer("dns", "no name server answered within 15 s")
    began = harness.now
    await harness.settle()
    assert harness.settled.state is DeliveryState.ABANDONED
    assert harness.settled.attempts == len(POLICY.callback_schedule)
    whole = sum(POLICY.callback_schedule, timedelta(0))
    assert harness.now - began <= 3 * whole


async def test_attempt_with_room_ends_being_busy(harness: Harness) -> None:
    harness.callbacks.next_slot = Busy(timedelta(seconds=5))
    await harness.pump()
    harness.callbacks.next_slot = Acquired()
    answer(harness, 500)
    await deliver(harness.services, wake(harness))
    assert (harness.pending.attempts, harness.pending.busy_since) == (1, None)


# --- what fails around an attempt: it is made once, and counted


class OutageError(Exception):
    """A request to the storage failed."""


def fail(harness: Harness, monkeypatch: pytest.MonkeyPatch, *effects: str) -> None:
    """Let these requests fail until the end of the test, before they have any effect."""

    async def failing(*_: object) -> None:
        raise OutageError

    for effect in effects:
        name, verb = effect.split(".")
        port = (
            harness.services.deliveries
            if name == "deliveries_queue"
            else getattr(harness.services.store, name)
        )
        monkeypatch.setattr(port, verb, failing, raising=False)


@pytest.mark.parametrize("failures", [0, OPENS_AFTER], ids=["no circuit", "half-open"])
@pytest.mark.parametrize("code", [204, 500])
@pytest.mark.parametrize("verb", ["get", "insert", "replace", "delete"])
async def test_table_of_hosts_neither_stops_nor_repeats_attempts(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, verb: str, code: int, failures: int
) -> None:
    if failures:
        await circuit(harness, failures=failures)
    fail(harness, monkeypatch, f"hosts.{verb}")
    answer(harness, code)
    harness.deliveries.messages.clear()
    await deliver(harness.services, wake(harness))
    assert harness.called() == [HOOK]
    (row,) = [*harness.store.outbox.values(), *harness.store.deliveries.values()]
    assert row.attempts == 1
    assert len(harness.deliveries.messages) == (code == 500)


async def test_attempt_is_written_before_its_host(harness: Harness) -> None:
    answer(harness, 500)
    await harness.pump()
    names = harness.effects.names
    assert names.index("outbox.replace") < names.index("hosts.insert")


async def test_attempt_counts_if_its_wake_up_cannot_be_sent(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host repeats the message, which is stale then; the repair sends the wake-up."""
    answer(harness, 500)
    again = wake(harness)
    harness.deliveries.messages.clear()
    with monkeypatch.context() as outage:
        fail(harness, outage, "deliveries_queue.send_wake_up")
        with pytest.raises(OutageError):
            await deliver(harness.services, again)
    assert (harness.pending.attempts, harness.pending.seq) == (1, again.seq + 1)
    assert [host.failures for host in harness.store.hosts.values()] == [1]
    await deliver(harness.services, again)
    assert harness.called() == [HOOK]


@pytest.mark.parametrize(
    ("code", "failing"),
    [(500, "deliveries_queue.send_wake_up"), (401, "lookahead.insert"), (401, "lookahead.get")],
)
async def test_wake_up_that_could_not_be_sent_is_sent_after_the_row(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, code: int, failing: str
) -> None:
    """One request failed; the wake-up that led to the attempt is stale, and could not help."""
    answer(harness, code, 204)
    due_at = harness.pending.due_at
    with monkeypatch.context() as outage:
        fail(harness, outage, failing)

        async def recover() -> None:
            outage.undo()

        harness.effects.before["outbox.replace"] = recover
        await harness.pump()
    assert (harness.pending.attempts, harness.pending.seq) == (1, 2)
    assert harness.pending.due_at > due_at
    due_at = harness.pending.due_at
    await harness.settle()
    assert harness.settled.state is DeliveryState.DELIVERED
    assert harness.settled.attempt_log[-1].at - due_at < timedelta(seconds=1)


async def test_wait_without_a_look_ahead_is_sent_before_its_row(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the row would leave it without a wake-up."""
    answer(harness, 401)
    again = wake(harness)
    harness.deliveries.messages.clear()
    fail(harness, monkeypatch, "lookahead.get")
    await deliver(harness.services, again)
    assert harness.effects.names[:3] == [
        "callbacks.post", "deliveries_queue.send_wake_up", "outbox.replace",
    ]  # fmt: skip
    (woken,) = harness.wake_ups(harness.deliveries)
    assert (woken.seq, woken.due_at) == (2, harness.pending.due_at)


async def test_wake_up_of_a_write_without_an_answer_is_sent(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-ahead could not be checked, so the row is near, and no look finds it."""
    answer(harness, 401, 204)
    again = wake(harness)
    harness.deliveries.messages.clear()
    replace_row = harness.store.outbox.replace

    async def lose_answer(delivery: Delivery, etag: str) -> Row[Delivery] | None:
        await replace_row(delivery, etag)
        raise OutageError

    with monkeypatch.context() as outage:
        fail(harness, outage, "lookahead.get")
        outage.setattr(harness.services.store.outbox, "replace", lose_answer)
        with pytest.raises(OutageError):
            await deliver(harness.services, again)
    (woken,) = harness.wake_ups(harness.deliveries)
    assert (woken.seq, woken.due_at) == (2, harness.pending.due_at)
    await harness.settle()
    assert harness.settled.attempts == 2


async def test_retry_that_is_written_late_sends_its_own_wake_up(harness: Harness) -> None:
    """A look may have passed the row before."""
    answer(harness, 401)
    again = wake(harness)
    harness.deliveries.messages.clear()

    async def stall() -> None:
        harness.advance(minutes=6)

    harness.effects.before["outbox.replace"] = stall
    await deliver(harness.services, again)
    assert harness.pending.far
    (woken,) = harness.wake_ups(harness.deliveries)
    assert (woken.seq, woken.due_at) == (2, harness.pending.due_at)


async def test_wait_that_has_a_message_is_not_found_by_a_look(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two wake-ups that come at the same time would call the receiver twice."""
    answer(harness, 401, 204)  # a far wait
    await keep_looking(harness.services, delivery_chain(harness.services))
    harness.services.trusted_looks.clear()
    with monkeypatch.context() as outage:
        fail(harness, outage, "lookahead.get")

        async def recover() -> None:
            outage.undo()

        harness.effects.before["outbox.replace"] = recover
        await harness.pump()
    due_at = harness.pending.due_at
    while harness.now < due_at - timedelta(seconds=1):
        harness.advance(seconds=1)
        await harness.pump()
    assert harness.seqs(harness.deliveries) == [2]
    assert len(harness.called()) == 1


async def test_deferral_is_not_written_if_its_wake_up_cannot_be_sent(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent to the receiver, so the message can be repeated as it is."""
    harness.callbacks.next_slot = Busy(timedelta(seconds=1))
    before = harness.pending
    fail(harness, monkeypatch, "deliveries_queue.send_wake_up")
    with pytest.raises(OutageError):
        await deliver(harness.services, wake(harness))
    assert harness.pending == before


@pytest.mark.parametrize("code", [204, 410])
async def test_end_that_cannot_be_recorded_is_kept(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """An outage of the table of records makes no second POST."""
    answer(harness, code)
    again = wake(harness)
    harness.deliveries.messages.clear()
    with monkeypatch.context() as outage:
        fail(harness, outage, "deliveries.insert")
        for _ in range(3):
            with pytest.raises(OutageError):
                await deliver(harness.services, again)
    assert harness.called() == [HOOK]
    harness.advance(minutes=3)
    await repair(harness.services)
    await harness.settle()
    assert harness.called() == [HOOK]
    expected = DeliveryState.DELIVERED if code == 204 else DeliveryState.ABANDONED
    assert (harness.settled.state, harness.settled.attempts) == (expected, 1)
    assert harness.settled.next_attempt_at is None
    assert not harness.store.outbox.rows


@pytest.mark.parametrize("is_moved", [False, True], ids=["counted besides", "made due by a user"])
async def test_end_is_kept_in_a_row_that_has_changed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, *, is_moved: bool
) -> None:
    """It cannot be recorded, and the row is not as it was when the attempt began."""
    answer(harness, 204)
    again = wake(harness)
    harness.deliveries.messages.clear()
    besides = Attempt(at=harness.now - SECOND, duration=0.1, status_code=503)

    async def change() -> None:
        pending = harness.pending
        changed = attempt_at(pending, harness.now) if is_moved else count_attempt(pending, besides)
        await harness.store.outbox.put(changed)

    harness.effects.before["outbox.replace"] = change
    with monkeypatch.context() as outage:
        fail(harness, outage, "deliveries.insert")
        with pytest.raises(OutageError):
            await deliver(harness.services, again)
    kept = harness.pending
    assert (kept.state, kept.seq) == (DeliveryState.DELIVERED, again.seq + is_moved)
    assert kept.attempts == len(kept.attempt_log) == (1 if is_moved else 2)
    await deliver(harness.services, wake(harness))
    assert harness.called() == [HOOK]
    assert harness.settled.state is DeliveryState.DELIVERED
    assert not harness.store.outbox.rows


async def test_attempt_beside_another_workers_write_counts(harness: Harness) -> None:
    """A user's command or another worker moves the row while the attempt is under way."""
    answer(harness, 500)
    again = wake(harness)
    harness.deliveries.messages.clear()

    async def move() -> None:
        await harness.store.outbox.put(replace(harness.pending, seq=again.seq + 1))

    harness.effects.before["outbox.replace"] = move
    await deliver(harness.services, again)
    assert (harness.pending.seq, harness.pending.attempts) == (again.seq + 1, 1)
    assert len(harness.pending.attempt_log) == 1


async def test_attempt_counted_meanwhile_does_not_stop_the_wait(harness: Harness) -> None:
    """Another worker's write has changed the ETag of the row, and nothing that this one needs."""
    answer(harness, 500)
    again = wake(harness)
    harness.deliveries.messages.clear()
    besides = Attempt(at=harness.now - SECOND, duration=0.1, status_code=503)

    async def count() -> None:
        await harness.store.outbox.put(count_attempt(harness.pending, besides))

    harness.effects.before["outbox.replace"] = count
    await deliver(harness.services, again)
    pending = harness.pending
    assert (pending.seq, pending.attempts, pending.round_attempts) == (again.seq + 1, 2, 2)
    assert [attempt.status_code for attempt in pending.attempt_log] == [503, 500]
    assert harness.seqs(harness.deliveries) == [pending.seq]


@pytest.mark.parametrize("days", [5, 7])
async def test_longest_gap_of_the_schedule_is_accepted_by_the_queue(days: float) -> None:
    """With its jitter it may be longer than a queue can hide a message."""
    gap = timedelta(days=days)
    for number in range(10):
        harness = Harness(replace(POLICY, callback_schedule=(timedelta(0), gap, gap)))
        answer(harness, 500)
        await harness.ended(f"{HOOK}/{number}")
        assert len(harness.called()) == harness.settled.attempts == 3
