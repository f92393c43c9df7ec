"""Turning what was posted into a watch, a further receiver, or a rejection."""

from dataclasses import replace
from datetime import datetime

from opswatch import log
from opswatch.core.decide import begin, line_of
from opswatch.core.intake import rejection
from opswatch.core.model import Key, Reason, Registration, Rejection, WakeUp, Watch
from opswatch.core.texts import MAX_PROPERTY, to_json
from opswatch.core.wire import REJECTIONS
from opswatch.ports import Versioned, World
from opswatch.steps import tell
from opswatch.steps.finish import finish_with


async def register(world: World, registration: Registration, now: datetime) -> Key:
    """Make sure that an operation is watched and that its receiver is, or will be, called.

    May be repeated: an operation known already gains the receiver and nothing else. The watch is
    written first, then the result looked for: a watch that ends in between has left its result
    before it made room. After the end the watch is thus only a way to its finish.
    """
    begun = begin(registration, now, world.policy)
    with tell.span(world, "register", begun.key, begun.seq):
        await _register(world, begun, registration, now)
    return begun.key


async def _register(world: World, begun: Watch, registration: Registration, now: datetime) -> None:
    watches = world.store.watches
    while True:
        stored = await watches.insert(begun) or await watches.get(begun.key)
        watch = stored and await _joined(world, stored, registration, now)
        if watch is not None:
            break
    ended = await world.store.results.get(begun.key)
    is_polled = watch.noun.polls > 0
    if ended is None and not is_polled:  # new, or cut off before it was started
        await _start(world, watch.noun)
    elif ended is not None and not (is_polled and watch.noun.end):  # else its poll finishes it
        await finish_with(world, watch, ended.noun)


async def _joined(
    world: World, stored: Versioned[Watch], registration: Registration, now: datetime
) -> Versioned[Watch] | None:
    """Return the watch with the receiver added; None where it has changed or ended meanwhile."""
    watch = _with_callback(stored.noun, registration.callback_url)
    if watch == stored.noun:
        return stored
    if len(to_json(watch.callbacks)) > MAX_PROPERTY:
        detail = f"the operation has {len(stored.noun.callbacks)} callbacks; no more fit its row"
        body = to_json({"operation": watch.key.row, "callbackUrl": registration.callback_url})
        await reject(world, rejection(body.encode(), Reason.TOO_LARGE, detail, now))
        return stored
    return await world.store.watches.replace(watch, stored.version)


def _with_callback(watch: Watch, callback_url: str | None) -> Watch:
    if callback_url is None or callback_url in watch.callbacks:
        return watch
    return replace(watch, callbacks=(*watch.callbacks, callback_url))


async def _start(world: World, watch: Watch) -> None:
    """List the operation and send its first wake-up; may be repeated."""
    log.event("registered", key=watch.key, kind=watch.kind)
    await world.store.timeline.insert(line_of(watch))
    wake = WakeUp(watch.key, watch.seq, world.telemetry.traceparent())
    await world.operations.send(wake)


async def reject(world: World, rejected: Rejection) -> None:
    """Record a message that cannot be accepted; the same body again is counted, not repeated."""
    tell.rejected(world, rejected)
    table = world.store.rejections
    while await table.insert(rejected) is None:
        known: Versioned[Rejection] | None = await table.get(REJECTIONS.key(rejected))
        if known is None:
            continue
        again = replace(rejected, count=known.noun.count + 1)
        if await table.replace(again, known.version):
            return
