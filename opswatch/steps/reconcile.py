"""The timer's repair: wake up what is overdue, and take in what the host gave up."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from opswatch import log
from opswatch.core.decide import OVERDUE_GRACE, rewake_delivery, rewake_watch
from opswatch.core.metrics import HEARTBEAT, POISON_DEPTH
from opswatch.core.model import Delivery, WakeUp, Watch
from opswatch.core.wire import QUEUES, wake_up_from
from opswatch.ports import Poisoned, PoisonQueue, Queue, Table, Where, World
from opswatch.steps.measure import measure
from opswatch.steps.messages import operations_message

Live = TypeVar("Live", Watch, Delivery)
_MOST = 1000  # rows a run: the next run comes within a minute


async def reconcile(world: World) -> None:
    """Send a fresh wake-up for each overdue row, and see to poisoned messages.

    A row moves to its next number with each repair, so that however long an outage lasts, only the
    latest of its messages does anything.
    """
    now = world.clock()
    watches = await _rewake(world.store.watches, world.operations, rewake_watch, now)
    deliveries = await _rewake(world.store.outbox, world.deliveries, rewake_delivery, now)
    poisoned = 0
    for name, queue in zip(QUEUES, world.poison, strict=False):
        world.telemetry.measure(POISON_DEPTH, await queue.depth(), queue=name)
        poisoned += await _drain(world, queue)
    log.event("reconciled", watches=watches, deliveries=deliveries, poisoned=poisoned)
    await measure(world, now)
    world.telemetry.measure(HEARTBEAT, 1)  # last: no beat tells of a run that was cut off


async def _rewake(
    table: Table[Live], queue: Queue, due_now: Callable[[Live, datetime], Live], now: datetime
) -> int:
    count = 0
    async for stored in table.find(Where(due_before=now - OVERDUE_GRACE)):
        live = due_now(stored.noun, now)
        sent = await queue.send(WakeUp(live.key, live.seq))
        if await table.replace(live, stored.version) is None:
            await queue.take_back(sent)  # somebody has seen to it just now
            continue
        log.event("rewoken", logging.WARNING, key=live.key, seq=live.seq)
        count += 1
        if count == _MOST:
            break
    return count


async def _drain(world: World, queue: PoisonQueue) -> int:
    """Drop poisoned wake-ups, whose rows are overdue anyway; take in poisoned posts once more.

    A post that fails even here stays where it is: it comes back in a later run, and the depth of
    the poison queue tells.
    """
    count = 0
    for poisoned in await queue.take():
        count += 1
        log.event("poisoned", logging.ERROR, wake=wake_up_from(poisoned.body) is not None)
        if await _taken_in(world, poisoned):
            await queue.remove(poisoned)
    return count


async def _taken_in(world: World, poisoned: Poisoned) -> bool:
    if wake_up_from(poisoned.body) is not None:
        return True
    try:
        await operations_message(world, poisoned.body)
    except Exception:
        logging.getLogger("opswatch").exception("a poisoned message failed again")
        return False
    return True
