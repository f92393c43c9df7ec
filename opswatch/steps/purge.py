"""The purge: results older than the retention go, with everything that belongs to them."""

from opswatch.core.mistakes import Part, require
from opswatch.core.watches import TimelineEntry
from opswatch.ports import Query, Services
from opswatch.steps import events


async def purge(services: Services) -> None:
    """Remove results that finished before the retention, and everything that belongs to them.

    The timeline's entry goes last, so that the next purge continues after an interruption. A
    result is kept while a delivery of it is pending.
    """
    require(services.mistakes, Part.PURGE)
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
            await store.deliveries.delete(delivery.key)
    await store.results.delete(key)
    await store.timeline.delete(entry.key)
    return True
