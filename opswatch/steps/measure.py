"""What the timer measures: how much waits, and how late the latest of it is."""

from datetime import datetime

from opswatch.core.metrics import ACTIVE_WATCHES, OLDEST_OVERDUE, QUEUE_DEPTH
from opswatch.core.wire import QUEUES
from opswatch.ports import World


async def measure(world: World, now: datetime) -> None:
    """Measure the queues, and the watches: how many there are, and how late the oldest due one is.

    All watches are counted by reading their due times, a thousand a request: at 100,000 watches a
    hundred requests, some seconds and 2 s of CPU each minute, about $0.16 a month.
    """
    for name, queue in zip(QUEUES, (world.operations, world.deliveries), strict=True):
        world.telemetry.measure(QUEUE_DEPTH, await queue.depth(), queue=name)
    active, oldest = 0, now
    async for due_at in world.store.watches.due_times():
        active += 1
        oldest = min(oldest, due_at)
    world.telemetry.measure(ACTIVE_WATCHES, active)
    world.telemetry.measure(OLDEST_OVERDUE, (now - oldest).total_seconds())
