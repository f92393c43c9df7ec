"""From a watch whose end is kept to its record, its deliveries, and its removal; repeatable."""

from datetime import datetime

from opswatch import log
from opswatch.core.decide import line_of, owe, result_of
from opswatch.core.model import Delivery, FinalStatus, Result, WakeUp, Watch
from opswatch.ports import Versioned, World


async def finish(world: World, stored: Versioned[Watch]) -> None:
    """Record the end that `stored` keeps, owe its deliveries, and remove the watch.

    Each effect can be repeated; the removal comes last, and only of the row that was read: a
    receiver that joined meanwhile is seen to first.
    """
    result = await _record(world, stored.noun)
    called: set[str] = set()
    watch: Versioned[Watch] | None = stored
    while watch is not None:
        for url in watch.noun.callbacks:
            if url not in called:
                await call_back(world, result, url, result.end.finished_at)
                called.add(url)
        if await world.store.watches.delete(watch.noun.operation.key, watch.version):
            break
        watch = await world.store.watches.get(watch.noun.operation.key)
    log.event(
        "finished",
        key=result.operation.key,
        status=result.end.status.value,
        polls=result.polls,
        error=result.end.error.code if result.end.error else None,
    )


async def _record(world: World, watch: Watch) -> Result:
    """Write the result, unless one stands: the first end is the end."""
    assert watch.end is not None, watch.operation.key  # noqa: S101 - an end is kept first
    result = result_of(watch, watch.end)
    if await world.store.results.insert(result) is None:
        first = await world.store.results.get(result.operation.key)
        result = first.noun if first else result
    await world.store.timeline.put(line_of(result))
    return result


async def call_back(world: World, result: Result, callback_url: str, now: datetime) -> None:
    """Owe `callback_url` the news of `result`, unless it was told or is being told.

    The row is inserted first, then the record looked for: a delivery that settles in between has
    written its record before it leaves the outbox, so it is never begun twice.
    """
    if result.end.status is FinalStatus.STOPPED:
        return  # by a user, who wants no callback
    delivery = owe(result.operation.key, callback_url, now, world.policy)
    if await world.store.outbox.insert(delivery) is None:
        await _start_again(world, delivery)
    elif await world.store.deliveries.get(delivery.key) is not None:
        await world.store.outbox.delete(delivery.key)
    else:
        await start(world, delivery, now)


async def _start_again(world: World, delivery: Delivery) -> None:
    """Wake up a delivery that may have been cut off between its row and its message."""
    standing = await world.store.outbox.get(delivery.key)
    if standing is not None and standing.noun.seq == delivery.seq:
        await world.deliveries.send(WakeUp(delivery.key, delivery.seq))


async def start(world: World, delivery: Delivery, now: datetime) -> None:
    """Send the first wake-up of a delivery whose row stands."""
    delay = (delivery.next_attempt_at or now) - now
    await world.deliveries.send(WakeUp(delivery.key, delivery.seq), delay)
