"""One attempt of one delivery: fence, circuit, sign, POST, decide, send the successor, commit."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from opswatch.core import webhook
from opswatch.core.deliveries import (
    Delivery,
    DeliveryState,
    Retry,
    Settle,
    abandon,
    after_attempt,
    count_attempt,
    has_waited_enough,
    is_forced,
    is_same_wait,
    is_settled,
    keep_end,
    postpone,
    wait_for_host,
    wait_for_room,
    with_counted,
)
from opswatch.core.hosts import (
    Acquired,
    Busy,
    CircuitState,
    HostCircuit,
    circuit_state,
    counts_as_failure,
    record_failure,
    retry_busy_at,
    start_probe,
)
from opswatch.core.keys import host_key, stable_random
from opswatch.core.summary import counted_as
from opswatch.core.timeline import settled_entry
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result
from opswatch.core.webhook import Attempt, Reply
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.finish import touch_result
from opswatch.steps.unreadable import get_or_remove
from opswatch.steps.wakeups import (
    Chain,
    after_commit,
    before_commit,
    delivery_chain,
    load_current_row,
    send_wake_up,
)

_NO_SECRET_DELAY = timedelta(minutes=1)  # and at random up to half as much again
_WATCHED_DELAY = timedelta(minutes=5)
_PURGED = "the result has been purged"
_SLOW = timedelta(seconds=1)  # a replay takes two requests of a user's and an attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """An attempt that was made, and what follows from it."""

    attempt: Attempt
    reply: Reply
    is_host_failure: bool
    circuit: Row[HostCircuit] | None  # as it was when the attempt began
    action: Retry | Settle


async def deliver(services: Services, wake: WakeUp) -> None:
    """Attempt the delivery that `wake` names, if the row is at the wake-up's `seq`.

    Once the attempt is made, nothing that can fail comes before its row. A failure to send the
    wake-up does not prevent the write, but is made up for after it; the host's circuit comes last.
    """
    row = await load_current_row(services, delivery_chain(services), wake)
    if row is None:
        return
    with events.span(services, "attempt", wake.key, wake.seq, link=wake.traceparent):
        services.telemetry.note(decision="wait")  # overwritten if an attempt is made
        outcome = await _attempt(services, row.value)
        if not isinstance(outcome, _Made):
            await _commit(services, row, outcome, None)
            return
        failure: Exception | None = None
        try:
            await _commit(services, row, outcome.action, outcome.attempt)
        except Exception as error:
            failure = error
        events.record_attempt(services, row.value, outcome.attempt, outcome.reply, outcome.action)
        await _record_for_host(services, row.value, outcome)
        if failure is not None:
            raise failure


async def _commit(
    services: Services, row: Row[Delivery], action: Retry | Settle, made: Attempt | None
) -> None:
    """Write what follows to the row; an attempt that was `made` is written in any case."""
    if isinstance(action, Retry):
        await _wait(services, row, action.delivery, made)
        return
    try:
        await _settle(services, row, action.delivery)
    except Exception:
        if made is not None:  # its end, once seen, is kept: no other attempt is made for it
            current: Row[Delivery] | None = row
            while current and (kept := keep_end(action.delivery, row.value, current.value)):
                if await services.store.outbox.replace(kept, current.etag) is not None:
                    break
                current = await services.store.outbox.get(row.value.key)
        raise


async def _wait(
    services: Services, row: Row[Delivery], waiting: Delivery, made: Attempt | None
) -> None:
    """Write a delivery that waits, and see to it that the wait ends.

    Once it is written, the wake-up that led here is stale, so it cannot make up for its successor.
    """
    chain, is_awaited = delivery_chain(services), True
    try:
        await before_commit(services, chain, waiting)
    except Exception:
        if made is None:
            raise
        # As a message, even if it is far: a look that found it as well would wake it twice.
        was_far, waiting = waiting.far, replace(waiting, far=False)
        is_awaited = was_far and await _try_to_send(services, chain, waiting)
    if not await _replace(services, row, waiting):
        events.record_conflict(row.value.key, row.value.seq)
        if made is not None:
            await _count_besides(services, row.value, made)
    elif is_awaited:
        await after_commit(services, chain, waiting)
    else:  # again; if this fails too, the repair sends it
        await send_wake_up(services, chain, waiting)


async def _try_to_send(services: Services, chain: Chain[Delivery], waiting: Delivery) -> bool:
    """Send a wake-up before the row that is written in any case; return False if that fails."""
    try:
        await send_wake_up(services, chain, waiting)
    except Exception:
        return False
    return True


async def _replace(services: Services, row: Row[Delivery], decided: Delivery) -> bool:
    """Write what was decided of a row; return False if another worker has moved it on.

    1. A and B act on copies of one wake-up, seq 3. A postpones, and writes seq 4.
    2. B's attempt fails. It loses, and counts its attempt in the row, which stays at seq 4.
    3. C has read the row before that, and attempts seq 4: it has lost nothing but the ETag.
    """
    outbox, before, etag, merged = services.store.outbox, row.value, row.etag, decided
    while await outbox.replace(merged, etag) is None:
        current = await outbox.get(before.key)
        if current is None or not is_same_wait(before, current.value):
            return False
        merged, etag = with_counted(decided, before, current.value), current.etag
    return True


async def _count_besides(services: Services, before: Delivery, made: Attempt) -> None:
    """Count an attempt in the row that another worker has written, if it is of the same round."""
    outbox = services.store.outbox
    while (row := await outbox.get(before.key)) and row.value.started_at == before.started_at:
        counted = count_attempt(row.value, made)
        if counted is row.value or await outbox.replace(counted, row.etag):
            return


async def _attempt(services: Services, delivery: Delivery) -> Retry | Settle | _Made:
    """Make one attempt if there is room and the host's circuit is not open."""
    store, policy = services.store, services.policy
    if delivery.state is not DeliveryState.PENDING:  # its record could not be written
        return Settle(replace(delivery, next_attempt_at=None))
    if not services.secrets:
        events.record_secret_missing(delivery)
        reason = "no OPSWATCH_CALLBACK_SECRETS to sign with"
        spread = 1 + stable_random(delivery.key, delivery.seq) / 2
        return postpone(delivery, reason, _NO_SECRET_DELAY * spread, services.clock())
    forced = is_forced(delivery, services.clock(), policy)
    async with services.callbacks.slot(delivery.callback_url, forced=forced) as slot:
        if isinstance(slot, Busy):
            return _defer_busy(services, delivery, slot)
        # The circuit comes first: a delivery that waits costs one read.
        ignored = forced or has_waited_enough(delivery, services.clock(), policy)
        circuit = await _check_circuit(services, delivery, is_ignored=ignored)
        if isinstance(circuit, Retry):
            return circuit
        record = await store.deliveries.get(delivery.key)
        if record is not None and is_settled(delivery, record.value):
            return Settle(record.value)  # a worker crashed between the record and the removal
        result = await store.results.get(delivery.operation)
        if result is None:
            return await _without_result(services, delivery)
        if result.value.facts.round > delivery.round:
            return abandon(delivery, "the operation has been watched again", services.clock())
        return await _post(services, delivery, result.value, circuit, slot)


async def _without_result(services: Services, delivery: Delivery) -> Retry | Settle:
    """Wait for the next result if the operation is watched again; if not, there will be none.

    1. This worker reads the row and stalls. Another one delivers, and all of it is purged.
    2. The row is no longer as it was: nothing is recorded (and what is returned cannot be written).
    """
    pending = await services.store.outbox.get(delivery.key)
    is_current = pending is not None and pending.value.seq == delivery.seq
    if is_current and await services.store.watches.get(delivery.operation) is None:
        return abandon(delivery, _PURGED, services.clock())
    reason = f"{_PURGED}, and the operation is watched"
    return postpone(delivery, reason, _WATCHED_DELAY, services.clock())


async def _check_circuit(
    services: Services, delivery: Delivery, *, is_ignored: bool
) -> Row[HostCircuit] | Retry | None:
    """Return the circuit of the receiver's host, or what follows if it permits no attempt now.

    Best effort: if circuits cannot be read or written, attempts are made all the same.
    """
    hosts, key, now = services.store.hosts, host_key(delivery.callback_url), services.clock()
    row: Row[HostCircuit] | None = None
    try:
        row = await get_or_remove(hosts, key)
        if row is None or is_ignored:
            return row
        state = circuit_state(row.value, now)
        if state is CircuitState.OPEN:
            return _defer(services, delivery, row.value.open_until, "paused")
        if state is CircuitState.HALF_OPEN:
            probing = start_probe(row.value, now, services.policy)
            if not await hosts.replace(probing, row.etag):
                return _defer(services, delivery, probing.open_until, "probed")
    except Exception as error:
        events.record_circuit_failed(key.row, error)
    return row


async def _post(
    services: Services,
    delivery: Delivery,
    result: Result,
    circuit: Row[HostCircuit] | None,
    slot: Acquired,
) -> Retry | _Made:
    """POST the event of `result`, and return what follows; nothing here is written."""
    at = services.clock()
    request = webhook.request(
        delivery.callback_url,
        delivery.delivery_id,
        webhook.event(result, delivery.delivery_id, with_result=services.policy.callback_result),
        services.secrets,
        at,
        attempt=delivery.attempts + 1,
        traceparent=services.telemetry.traceparent(),
    )
    answer = await services.callbacks.post(request, slot)
    now = services.clock()
    if isinstance(answer, Busy):
        return _defer_busy(services, delivery, answer)
    attempt = webhook.attempt_of(answer, at, (now - at).total_seconds())
    reply = webhook.read_answer(answer, now)
    return _Made(
        attempt=attempt,
        reply=reply,
        is_host_failure=webhook.is_host_failure(answer),
        circuit=circuit,
        action=after_attempt(delivery, attempt, reply, now, services.policy),
    )


def _defer(
    services: Services, delivery: Delivery, until: datetime, why: Literal["paused", "probed"]
) -> Retry:
    events.record_deferred(services, delivery, until, why)
    return wait_for_host(delivery, until, services.clock())


def _defer_busy(services: Services, delivery: Delivery, busy: Busy) -> Retry:
    now = services.clock()
    retry = wait_for_room(delivery, retry_busy_at(busy, now), now)
    events.record_deferred(services, delivery, retry.delivery.next_attempt_at or now, "busy")
    return retry


async def _record_for_host(services: Services, delivery: Delivery, made: _Made) -> None:
    """Record the outcome of an attempt for its host: best effort, the attempt is written.

    A failure is written again on conflict, so that concurrent failures all count.
    """
    hosts, key, now = services.store.hosts, host_key(delivery.callback_url), services.clock()
    before = made.circuit.value if made.circuit else None
    written: Row[HostCircuit] | None = None
    try:
        if not made.is_host_failure and before is not None:
            await hosts.delete(key)
        while made.is_host_failure and written is None:
            row = await get_or_remove(hosts, key)
            current = row.value if row else None
            if not counts_as_failure(before, current):
                return
            circuit = record_failure(key.row, current, now, services.policy)
            written = await (hosts.replace(circuit, row.etag) if row else hosts.insert(circuit))
    except Exception as error:
        events.record_circuit_failed(key.row, error)
    if written is not None and circuit_state(written.value, now) is not CircuitState.CLOSED:
        events.record_circuit_opened(written.value)


async def _settle(services: Services, row: Row[Delivery], settled: Delivery) -> None:
    """Write the record, then remove the row from the outbox.

    1. A round has one end: if the record of this round (or a later one) exists, it is kept.
    2. The index has the record's entry before the row goes: an interruption repeats it.
    3. The row is removed only while it is of this round: a replay may have begun since.
    4. If this worker was so slow that a replay may have ended since, that one's entry counts.
    """
    records, outbox, pending = services.store.deliveries, services.store.outbox, row.value
    kept, began = settled, settled.last_attempt_at or services.clock()
    while await records.insert(settled) is None:
        record = await records.get(settled.key)
        if record is None:
            continue
        if is_settled(pending, record.value):
            kept = record.value
            break
        await services.store.settled.delete(settled_entry(record.value).key)
        if await records.replace(settled, record.etag):
            break
    if kept is settled:
        services.counts.add(counted_as(settled.state), settled_entry(settled).settled_at)
    entry = settled_entry(kept)
    await services.store.settled.put(entry)
    if services.clock() - began > _SLOW:
        await _remove_what_is_outdated(services, kept)
    etag = row.etag
    while not await outbox.delete(pending.key, etag):
        current = await outbox.get(pending.key)
        if current is None or current.value.started_at != pending.started_at:
            break
        etag = current.etag
    events.record_settled(services, settled)


async def _remove_what_is_outdated(services: Services, settled: Delivery) -> None:
    """Remove what a slow worker has just written of a delivery, if it came too late.

    1. Another attempt has settled it, and a replay has replaced its record: the entry goes.
    2. Or the purge has removed all of its operation: nothing would lead it to the record again.
    3. Or it has removed another attempt's record, and the result comes next: it keeps the result,
       and the next run removes both.
    """
    records, key = services.store.deliveries, settled_entry(settled).key
    record = await records.get(settled.key)
    if record is None:
        return
    had_result = record.value.reason != _PURGED
    if settled_entry(record.value).key != key:
        await services.store.settled.delete(key)
    elif had_result and not await touch_result(services, settled.operation):
        await services.store.settled.delete(key)
        await records.delete(settled.key, record.etag)
