"""Replaying settled deliveries: the same id, a new round of the schedule."""

from datetime import datetime

from opswatch import log
from opswatch.core.decide import is_settled, replay
from opswatch.core.model import Delivery, Key
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
        owed = await _owed_again(world, settled.noun, now)
        if owed.round_attempts == 0:  # new, or cut off before it was started
            await start(world, owed)
            log.event("redelivering", key=owed.key)
            count += 1
    return count


async def _owed_again(world: World, settled: Delivery, now: datetime) -> Delivery:
    """Return the row that stands in the outbox: the replay, or an earlier one's."""
    outbox = world.store.outbox
    replayed = replay(settled, now, world.policy)
    while True:
        standing = await outbox.insert(replayed) or await outbox.get(replayed.key)
        if standing is not None and not is_settled(standing.noun, settled):
            return standing.noun
        if standing is not None:  # on its way out
            await outbox.delete(replayed.key, standing.version)
