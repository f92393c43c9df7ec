"""Removing what is older than the retention: results, their deliveries, their lines, rejections."""

from datetime import datetime

from opswatch import log
from opswatch.core.model import Key, TimelineEntry
from opswatch.core.wire import HOSTS, REJECTIONS, TIMELINE, date_partition
from opswatch.ports import Where, World


async def purge(world: World) -> None:
    """Remove results that finished before the retention, and what belongs to them.

    The line of the list goes last, so that a purge cut off anywhere is taken up by the next one.
    What is still owed to a receiver keeps its result.
    """
    before = world.clock() - world.policy.retention
    until = Where(partition_before=date_partition(before))
    results = 0
    async for line in world.store.timeline.find(until):
        finished_at = line.noun.finished_at
        if finished_at is not None and finished_at < before:
            results += await _purge_operation(world, line.noun)
    rejections = await _purge_rejections(world, until, before)
    await _purge_hosts(world, before)
    log.event("purged", results=results, rejections=rejections)


async def _purge_operation(world: World, line: TimelineEntry) -> bool:
    key = line.operation
    if await _is_owed(world, key):
        return False
    for delivery in [d async for d in world.store.deliveries.find(_of(key))]:
        if delivery.noun.operation == key:
            await world.store.deliveries.delete(delivery.noun.key)
    await world.store.results.delete(key)
    await world.store.timeline.delete(TIMELINE.key(line))
    return True


async def _is_owed(world: World, key: Key) -> bool:
    async for delivery in world.store.outbox.find(_of(key)):
        if delivery.noun.operation == key:
            return True
    return False


def _of(key: Key) -> Where:
    return Where(partition=key.partition, row_prefix=f"{key.row}~")


async def _purge_hosts(world: World, before: datetime) -> None:
    async for host in world.store.hosts.find(Where(due_before=before)):
        await world.store.hosts.delete(HOSTS.key(host.noun), host.version)


async def _purge_rejections(world: World, until: Where, before: datetime) -> int:
    count = 0
    async for rejected in world.store.rejections.find(until):
        if rejected.noun.received_at < before:
            count += await world.store.rejections.delete(REJECTIONS.key(rejected.noun))
    return count
