"""The timers: repair what is overdue, measure what waits, purge what is old."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from opswatch.core import deliveries, watches
from opswatch.core.deliveries import Delivery
from opswatch.core.metrics import (
    ACTIVE_WATCHES,
    HEARTBEAT,
    OLDEST_OVERDUE,
    POISON_DEPTH,
    QUEUE_DEPTH,
)
from opswatch.core.timeline import timeline_keys
from opswatch.core.watches import TimelineEntry, Watch
from opswatch.ports import PoisonQueue, Query, Queue, Services, Table
from opswatch.rows.messages import QUEUES
from opswatch.steps import events
from opswatch.steps.messages import operations_message
from opswatch.steps.summary import summarize
from opswatch.steps.wakeups import read_wake_up, send_wake_up

Live = TypeVar("Live", Watch, Delivery)
# A row may be overdue by this much before its wake-up counts as lost: longer than any step.
OVERDUE_GRACE = timedelta(minutes=2)
MOST_RESCUED = 1000  # rows of a table in one run: the next run is within a minute


async def repair(services: Services) -> None:
    """Send a fresh wake-up for each overdue row, and handle poison messages.

    A row moves to its next `seq` with each repair, so that after an outage of any length only the
    latest of its messages has an effect.
    """
    now = services.clock()
    rescued_watches = await _rescue(
        services.store.watches, services.operations, watches.reschedule_overdue, now
    )
    rescued_deliveries = await _rescue(
        services.store.outbox, services.deliveries, deliveries.reschedule_overdue, now
    )
    poisoned = 0
    for name, queue in zip(QUEUES, services.poison, strict=False):
        services.telemetry.measure(POISON_DEPTH, await queue.depth(), queue=name)
        poisoned += await _drain(services, queue)
    events.record_repaired(
        watches=rescued_watches, deliveries=rescued_deliveries, poisoned=poisoned
    )
    await measure(services, now)
    await summarize(services, now, late_before=now - OVERDUE_GRACE)
    services.telemetry.measure(HEARTBEAT, 1)  # last: an interrupted run has no heartbeat


async def _rescue(
    table: Table[Live], queue: Queue, reschedule: Callable[[Live, datetime], Live], now: datetime
) -> int:
    count = 0
    async for row in table.find(Query(due_before=now - OVERDUE_GRACE)):
        live = reschedule(row.value, now)
        sent = await send_wake_up(queue, live.key, live.seq, None)
        if await table.replace(live, row.etag) is None:
            await queue.take_back(sent)  # a worker has just committed it
            continue
        events.record_rescued(live.key, live.seq)
        count += 1
        if count == MOST_RESCUED:
            break
    return count


async def _drain(services: Services, queue: PoisonQueue) -> int:
    """Remove poisoned wake-ups, whose rows are overdue anyway; process poisoned posts again.

    A post that fails again stays in the queue for a later run; the queue's depth shows it.
    """
    count = 0
    for poisoned in await queue.take():
        count += 1
        is_wake_up = read_wake_up(poisoned.body) is not None
        events.record_poison_message(is_wake_up=is_wake_up)
        try:
            if not is_wake_up:
                await operations_message(services, poisoned.body)
        except Exception as error:
            events.record_poison_failed(error)
        else:
            await queue.remove(poisoned)
    return count


async def measure(services: Services, now: datetime) -> None:
    """Measure the queues' depths, the number of watches, and how late the oldest due one is.

    It reads the due times of all watches, a thousand a request: at 100,000 watches a hundred
    requests, some seconds and 2 s of CPU each minute, about $0.16 a month.
    """
    for name, queue in zip(QUEUES, (services.operations, services.deliveries), strict=True):
        services.telemetry.measure(QUEUE_DEPTH, await queue.depth(), queue=name)
    active, oldest = 0, now
    async for due_at in services.store.watches.iter_due_at():
        active += 1
        oldest = min(oldest, due_at)
    services.telemetry.measure(ACTIVE_WATCHES, active)
    services.telemetry.measure(OLDEST_OVERDUE, (now - oldest).total_seconds())


async def purge(services: Services) -> None:
    """Remove results that finished before the retention, and everything that belongs to them.

    The timeline's entry goes last, so that the next purge continues after an interruption. A
    result is kept while a delivery of it is pending.
    """
    store = services.store
    before = services.clock() - services.policy.retention
    until = Query(partition_before=before.date().isoformat())
    results = rejections = 0
    async for entry in store.timeline.find(until):
        finished_at = entry.value.finished_at
        if finished_at is not None and finished_at < before:
            results += await _purge_operation(services, entry.value)
    async for rejected in store.rejections.find(until):
        if rejected.value.received_at < before:
            rejections += await store.rejections.delete(rejected.value.key)
    async for host in store.hosts.find(Query(due_before=before)):
        await store.hosts.delete(host.value.key, host.etag)
    events.record_purged(results=results, rejections=rejections)


async def _purge_operation(services: Services, entry: TimelineEntry) -> bool:
    store, key = services.store, entry.operation
    of_operation = Query(partition=key.partition, row_prefix=f"{key.row}~")
    async for pending in store.outbox.find(of_operation):
        if pending.value.operation == key:
            return False
    for delivery in [row.value async for row in store.deliveries.find(of_operation)]:
        if delivery.operation == key:
            for line in timeline_keys(delivery):
                await store.timeline.delete(line)
            await store.deliveries.delete(delivery.key)
    await store.results.delete(key)
    for line in timeline_keys(entry):
        await store.timeline.delete(line)
    return True
