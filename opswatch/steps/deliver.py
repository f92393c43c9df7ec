"""One attempt of one delivery: fence, circuit, sign, POST, decide, send the successor, commit."""

from datetime import datetime, timedelta
from typing import Literal

from opswatch.core import webhook
from opswatch.core.deliveries import (
    Delivery,
    Retry,
    Settle,
    abandon,
    after_attempt,
    has_waited_enough,
    is_settled,
    postpone,
    wait_for_host,
)
from opswatch.core.hosts import (
    Busy,
    CircuitState,
    HostCircuit,
    circuit_state,
    counts_as_failure,
    record_failure,
    retry_busy_at,
    start_probe,
)
from opswatch.core.keys import WakeUp, host_key
from opswatch.core.summary import counted_as
from opswatch.core.timeline import settled_entry
from opswatch.core.watches import Result
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.wakeups import load_current_row, send_delivery_wake_up

_NO_SECRET_DELAY = timedelta(minutes=5)


async def deliver(services: Services, wake: WakeUp) -> None:
    """Attempt the delivery that `wake` names, if the row is at the wake-up's `seq`."""
    row = await load_current_row(services.store.outbox, services.deliveries, wake)
    if row is None:
        return
    with events.span(services, "attempt", wake.key, wake.seq, link=wake.traceparent):
        services.telemetry.note(decision="wait")  # overwritten if an attempt is made
        action = await _attempt(services, row.value)
        if isinstance(action, Settle):
            await _settle(services, row, action.delivery)
            return
        sent = await send_delivery_wake_up(services, action.delivery)
        if await services.store.outbox.replace(action.delivery, row.etag) is None:
            events.record_conflict(wake.key, wake.seq)
            await services.deliveries.take_back(sent)


async def _attempt(services: Services, delivery: Delivery) -> Retry | Settle:
    """Make one attempt if the host has room and its circuit is not open; return what follows."""
    store, policy = services.store, services.policy
    if not services.secrets:
        events.record_secret_missing(delivery)
        reason = "no OPSWATCH_CALLBACK_SECRETS to sign with"
        return postpone(delivery, reason, _NO_SECRET_DELAY, services.clock())
    async with services.callbacks.slot(delivery.callback_url) as slot:
        if isinstance(slot, Busy):
            return _defer(services, delivery, retry_busy_at(slot, services.clock()), "busy")
        # The circuit comes first: a delivery that waits costs one read.
        now = services.clock()
        circuit = await store.hosts.get(host_key(delivery.callback_url))
        if circuit is not None and not has_waited_enough(delivery, now, policy):
            state = circuit_state(circuit.value, now)
            if state is CircuitState.OPEN:
                return _defer(services, delivery, circuit.value.open_until, "paused")
            if state is CircuitState.HALF_OPEN:
                probing = start_probe(circuit.value, now, policy)
                if not await store.hosts.replace(probing, circuit.etag):
                    return _defer(services, delivery, probing.open_until, "probed")
        record = await store.deliveries.get(delivery.key)
        if record is not None and is_settled(delivery, record.value):
            return Settle(record.value)  # a worker crashed between the record and the removal
        result = await store.results.get(delivery.operation)
        if result is None:
            return abandon(delivery, "the result has been purged", now)
        if result.value.facts.round > delivery.round:
            return abandon(delivery, "the operation has been watched again", now)
        return await _post(services, delivery, result.value, circuit)


async def _post(
    services: Services, delivery: Delivery, result: Result, circuit: Row[HostCircuit] | None
) -> Retry | Settle:
    """POST the event of `result`, record the outcome for the host, and return what follows."""
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
    answer = await services.callbacks.post(request)
    now = services.clock()
    if webhook.is_host_failure(answer):
        await _record_failure(services, delivery, circuit, now)
    elif circuit is not None:
        await services.store.hosts.delete(circuit.value.key)
    attempt = webhook.attempt_of(answer, at, (now - at).total_seconds())
    reply = webhook.read_answer(answer, now)
    action = after_attempt(delivery, attempt, reply, now, services.policy)
    events.record_attempt(services, delivery, attempt, reply, action)
    return action


def _defer(
    services: Services,
    delivery: Delivery,
    until: datetime,
    why: Literal["busy", "paused", "probed"],
) -> Retry:
    events.record_deferred(delivery, until, why)
    return wait_for_host(delivery, until, services.clock())


async def _record_failure(
    services: Services, delivery: Delivery, before: Row[HostCircuit] | None, now: datetime
) -> None:
    """Record a failure of the host, and retry on conflict, so that concurrent failures all count.

    `before` is the circuit as it was when the attempt began.
    """
    hosts, key = services.store.hosts, host_key(delivery.callback_url)
    written: Row[HostCircuit] | None = None
    while written is None:
        row = await hosts.get(key)
        current = row.value if row else None
        if not counts_as_failure(before.value if before else None, current):
            return
        circuit = record_failure(key.row, current, now, services.policy)
        written = await (hosts.replace(circuit, row.etag) if row else hosts.insert(circuit))
    if circuit_state(written.value, now) is not CircuitState.CLOSED:
        events.record_circuit_opened(written.value)


async def _settle(services: Services, row: Row[Delivery], settled: Delivery) -> None:
    """Write the record, then remove the row from the outbox.

    1. A round has one end: if the record of this round (or a later one) exists, it is kept.
    2. The index has the record's entry before the row goes: an interruption repeats it.
    3. The row is removed only while it is of this round: a replay may have begun since.
    """
    records, outbox, pending = services.store.deliveries, services.store.outbox, row.value
    kept = settled
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
    await services.store.settled.put(settled_entry(kept))
    etag = row.etag
    while not await outbox.delete(pending.key, etag):
        current = await outbox.get(pending.key)
        if current is None or current.value.started_at != pending.started_at:
            break
        etag = current.etag
    events.record_settled(services, settled)
