"""From a watch whose end is kept to its record, its deliveries, and its removal; repeatable."""

from dataclasses import replace
from datetime import datetime

from opswatch.core.decide import line_of, owe, result_of
from opswatch.core.model import FinalStatus, Result, Watch
from opswatch.ports import Versioned, World
from opswatch.steps import tell
from opswatch.steps.wake import send_wake_up


async def finish(world: World, stored: Versioned[Watch]) -> Result:
    """Record the end that `stored` keeps, owe its deliveries, and remove the watch.

    Each effect can be repeated; the removal comes last, and only of the row that was read: a
    receiver that joined meanwhile is seen to first. Returns the result that stands.
    """
    result = await _record(world, stored.noun)
    called: set[str] = set()
    watch: Versioned[Watch] | None = stored
    while watch is not None:
        since = max(result.end.finished_at, watch.noun.registered_at)
        for url in watch.noun.callbacks:
            if url not in called:
                await _call_back(world, result, url, since)
                called.add(url)
        if await world.store.watches.delete(watch.noun.key, watch.version):
            break
        watch = await world.store.watches.get(watch.noun.key)
    return result


async def finish_with(world: World, stored: Versioned[Watch], ended: Result) -> None:
    """Finish a watch that was begun when its operation's result stood already."""
    await finish(world, replace(stored, noun=replace(stored.noun, end=ended.end)))


async def _record(world: World, watch: Watch) -> Result:
    """Write the result, unless one stands: the first end is the end."""
    assert watch.end is not None, watch.key  # noqa: S101 - an end is kept first
    result = result_of(watch, watch.end)
    if await world.store.results.insert(result) is None:
        first = await world.store.results.get(watch.key)
        result = first.noun if first else result
    else:
        tell.finished(world, result)
    await world.store.timeline.put(line_of(result))
    return result


async def _call_back(world: World, result: Result, callback_url: str, since: datetime) -> None:
    """Owe `callback_url` the news of `result`, unless it was told or is being told.

    The row is inserted first, then the record looked for: a delivery that settles in between has
    written its record before it leaves the outbox, so it is never begun twice.
    """
    if result.end.status is FinalStatus.STOPPED:
        return  # by a user, who wants no callback
    outbox = world.store.outbox
    delivery = owe(result.operation.key, callback_url, since, world.policy)
    standing = await outbox.insert(delivery) or await outbox.get(delivery.key)
    if standing is None or standing.noun.seq != delivery.seq:
        return  # settled, or under way
    if await world.store.deliveries.get(delivery.key) is not None:
        await outbox.delete(delivery.key, standing.version)
    else:  # a crash may have come between its row and its message
        await send_wake_up(world, standing.noun)
