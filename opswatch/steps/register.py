"""Turning what was posted into a watch, a further receiver, or a rejection."""

import logging
from dataclasses import replace
from datetime import datetime

from opswatch import log
from opswatch.core.decide import begin, line_of
from opswatch.core.intake import rejection
from opswatch.core.model import Key, Reason, Registration, Rejection, WakeUp, Watch
from opswatch.core.texts import MAX_PROPERTY, to_json
from opswatch.core.wire import REJECTIONS
from opswatch.ports import Versioned, World
from opswatch.steps.finish import call_back


async def register(world: World, registration: Registration, now: datetime) -> Key:
    """Make sure that an operation is watched and that its receiver is, or will be, called.

    May be repeated: an operation known already gains the receiver and nothing else, also after
    its end.
    """
    key = registration.operation.key
    while True:
        ended = await world.store.results.get(key)
        if ended is not None:
            if registration.callback_url:
                await call_back(world, ended.noun, registration.callback_url, now)
            return key
        inserted = await world.store.watches.insert(begin(registration, now, world.policy))
        if inserted is not None:
            log.event("registered", key=key, kind=registration.kind)
            await _start(world, inserted.noun)
            return key
        if await _join(world, key, registration, now):
            return key


async def _join(world: World, key: Key, registration: Registration, now: datetime) -> bool:
    """Add a receiver to a watch; return False where the watch has changed or has just ended."""
    stored = await world.store.watches.get(key)
    if stored is None:
        return False
    joined = _with_callback(stored.noun, registration.callback_url)
    if len(to_json(joined.callbacks)) > MAX_PROPERTY:
        detail = f"the operation has {len(stored.noun.callbacks)} callbacks; no more fit its row"
        body = to_json({"operation": key.row, "callbackUrl": registration.callback_url})
        await reject(world, rejection(body.encode(), Reason.TOO_LARGE, detail, now))
        return True
    if joined != stored.noun:
        changed = await world.store.watches.replace(joined, stored.version)
        if changed is None:
            return False
        log.event("joined", key=key, callbacks=len(joined.callbacks))
    if joined.polls == 0:  # registered, and perhaps cut off before it was started
        await _start(world, joined)
    return True


def _with_callback(watch: Watch, callback_url: str | None) -> Watch:
    if callback_url is None or callback_url in watch.callbacks:
        return watch
    return replace(watch, callbacks=(*watch.callbacks, callback_url))


async def _start(world: World, watch: Watch) -> None:
    """List the operation and send its first wake-up; may be repeated."""
    await world.store.timeline.insert(line_of(watch))
    await world.operations.send(WakeUp(watch.operation.key, watch.seq))


async def reject(world: World, rejected: Rejection) -> None:
    """Record a message that cannot be accepted; the same body again is counted, not repeated."""
    log.event("rejected", logging.WARNING, reason=rejected.reason.value, body=rejected.body_sha256)
    table = world.store.rejections
    while await table.insert(rejected) is None:
        known: Versioned[Rejection] | None = await table.get(REJECTIONS.key(rejected))
        if known is None:
            continue
        again = replace(rejected, count=known.noun.count + 1)
        if await table.replace(again, known.version):
            return
