"""The row that a page shows first: what runs, what waits, what needs attention."""

from datetime import datetime, timedelta

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


async def summarize(services: Services, now: datetime, *, late_before: datetime) -> Summary:
    """Count what is under way, add the last 24 hours, and write the row `now`.

    It reads a few columns of each watch and each pending delivery, a thousand rows a request.
    """
    store = services.store
    oldest = hour_of(now - timedelta(hours=HOURS))
    hours = Query(partition=PARTITION, row_prefix=_CENTURY, row_after=oldest)
    queues = (services.operations, services.deliveries)
    summary = Summary(
        counted_at=now,
        queued={name: await queue.depth() for name, queue in zip(QUEUES, queues, strict=True)},
        poisoned={
            name: await queue.depth() for name, queue in zip(QUEUES, services.poison, strict=False)
        },
        circuits=open_circuits([row.value async for row in store.hosts.find(Query())], now),
        hours=last_hours([row.value async for row in store.hours.find(hours)], now),
    )
    watches = [row.value async for row in store.running.find(Query())]
    summary = count_running(summary, watches, late_before)
    pending = [row.value async for row in store.pending.find(Query())]
    summary = count_pending(summary, pending)
    await store.summary.put(summary)
    return summary
