"""Replaying settled deliveries: the same id, a new round of the schedule."""

from opswatch import log
from opswatch.core.decide import replay
from opswatch.core.model import Key
from opswatch.ports import Where, World
from opswatch.steps.finish import start


async def redeliver(world: World, operation: Key) -> int:
    """Owe every settled delivery of `operation` once more; return how many.

    A delivery that is still owed is left alone.
    """
    now = world.clock()
    count = 0
    where = Where(partition=operation.partition, row_prefix=f"{operation.row}~")
    async for settled in world.store.deliveries.find(where):
        if settled.noun.operation != operation:
            continue
        delivery = replay(settled.noun, now, world.policy)
        if await world.store.outbox.insert(delivery) is not None:
            await start(world, delivery, now)
            log.event("redelivering", key=delivery.key)
            count += 1
    return count
