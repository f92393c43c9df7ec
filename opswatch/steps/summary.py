"""What runs, waits and needs attention, counted once: for the row that a page shows and metrics."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from opswatch.core.metrics import ACTIVE_WATCHES, OLDEST_OVERDUE, QUEUE_DEPTH
from opswatch.core.summary import (
    HOURS,
    PARTITION,
    Summary,
    count_pending,
    count_running,
    hour_of,
    last_hours,
    open_circuits,
)
from opswatch.ports import Query, Services
from opswatch.rows.messages import QUEUES

_CENTURY = "2"  # the names of hours begin so; that of the summary does not


async def summarize(
    services: Services,
    now: datetime,
    *,
    late_before: datetime,
    poison_found: Mapping[str, int] = MappingProxyType({}),
) -> Summary:
    """Count what is under way, measure it, add the last 24 hours, and write the row `now`.

    The poison messages that the repair has `poison_found` and handled, by queue, count as well:
    else a message that fails again and again would hardly ever be seen.

    It reads a few columns of each watch and each pending delivery, a thousand rows a request: see
    docs/telemetry.md for what that costs. What is measured is read first: the rest may fail without
    hiding it.
    """
    store, telemetry = services.store, services.telemetry
    watches = [row.value async for row in store.running.find(Query())]
    summary = count_running(Summary(counted_at=now), watches, late_before)
    telemetry.measure(ACTIVE_WATCHES, summary.watching)
    overdue = now - (summary.oldest_due_at or now)
    telemetry.measure(OLDEST_OVERDUE, overdue.total_seconds())
    queues = dict(zip(QUEUES, (services.operations, services.deliveries), strict=True))
    queued = {name: await queue.depth() for name, queue in queues.items()}
    for name, depth in queued.items():
        telemetry.measure(QUEUE_DEPTH, depth, queue=name)
    pending = [row.value async for row in store.pending.find(Query())]
    oldest = hour_of(now - timedelta(hours=HOURS))
    hours = Query(partition=PARTITION, row_prefix=_CENTURY, row_after=oldest)
    summary = replace(
        count_pending(summary, pending),
        queued=queued,
        poisoned={
            name: await queue.depth() + poison_found.get(name, 0)
            for name, queue in zip(QUEUES, services.poison, strict=False)
        },
        circuits=open_circuits([row.value async for row in store.hosts.find(Query())], now),
        hours=last_hours([row.value async for row in store.hours.find(hours)], now),
    )
    await store.summary.put(summary)
    return summary
