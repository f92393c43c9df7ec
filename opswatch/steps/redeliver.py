"""Replaying settled deliveries: the same id, a new round of the schedule."""

from datetime import datetime

from opswatch import log
from opswatch.core.decide import is_settled, replay
from opswatch.core.model import Delivery, DeliveryState, Key
from opswatch.ports import Where, World
from opswatch.steps.wake import send_wake_up


async def redeliver(world: World, operation: Key) -> int:
    """Owe every settled delivery of `operation` once more; return how many.

    A delivery that is still owed is left alone.
    """
    now = world.clock()
    count = 0
    where = Where(partition=operation.partition, row_prefix=f"{operation.row}~")
    async for settled in world.store.deliveries.find(where):
        if settled.noun.operation == operation:
            count += await _replay(world, settled.noun, now)
    return count


async def redeliver_abandoned(world: World, since: datetime) -> int:
    """Owe every delivery once more that was last attempted `since` and then abandoned.

    Returns how many. Reads the whole archive of deliveries: for a person after an outage, not for
    a timer or a page.
    """
    now = world.clock()
    count = 0
    async for settled in world.store.deliveries.find(Where()):
        last = settled.noun.last_attempt_at or settled.noun.started_at
        if settled.noun.state is DeliveryState.ABANDONED and last >= since:
            count += await _replay(world, settled.noun, now)
    return count


async def _replay(world: World, settled: Delivery, now: datetime) -> bool:
    owed = await _owed_again(world, settled, now)
    if owed.round_attempts:
        return False  # a replay is under way
    await send_wake_up(world, owed)  # new, or cut off before it was started
    log.event("redelivering", key=owed.key)
    return True


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
