"""A post becomes a watch, a further receiver of a known operation, or a rejection."""

from dataclasses import replace
from datetime import datetime

from opswatch.core.errors import Reason
from opswatch.core.intake import Registration, Rejection, rejection
from opswatch.core.keys import Key
from opswatch.core.texts import MAX_PROPERTY, to_json
from opswatch.core.watches import Watch, begin, timeline_entry
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.finish import finish_late_registration
from opswatch.steps.wakeups import send_wake_up


async def register(services: Services, registration: Registration, now: datetime) -> Key:
    """Make sure that an operation is watched and that its receiver is, or will be, called.

    May be repeated: a known operation gains the receiver and nothing else.

    1. The watch is written, then the result is looked for. (In the other order: the result is not
       found; the operation ends, its watch is removed; the watch written now never finishes.)
    2. If the operation has ended, the watch only leads to its finish.
    3. If it is new, or a crash came before its first message: list it and send that message.
    """
    begun = begin(registration, now, services.policy)
    key, watches = registration.operation.key, services.store.watches
    with events.span(services, "register", key, begun.seq):
        watch: Row[Watch] | None = None
        while watch is None:
            row = await watches.insert(begun) or await watches.get(key)
            watch = row and await _with_receiver(services, row, registration, now)
        ended = await services.store.results.get(key)
        is_polled = watch.value.facts.polls > 0
        if ended is None and not is_polled:
            events.record_registered(watch.value)
            await services.store.timeline.insert(timeline_entry(watch.value.facts, None))
            traceparent = services.telemetry.traceparent()
            await send_wake_up(services.operations, key, watch.value.seq, traceparent)
        elif ended is not None and not (is_polled and watch.value.end):  # else its poll finishes it
            await finish_late_registration(services, watch, ended.value)
    return key


async def _with_receiver(
    services: Services, row: Row[Watch], registration: Registration, now: datetime
) -> Row[Watch] | None:
    """Add the receiver to the watch, if it is new; None if the watch has changed or ended."""
    facts, callback_url = row.value.facts, registration.callback_url
    if callback_url is None or callback_url in facts.callbacks:
        return row
    callbacks = (*facts.callbacks, callback_url)
    if len(to_json(callbacks)) > MAX_PROPERTY:
        detail = f"the operation has {len(facts.callbacks)} callbacks; no more fit its row"
        body = to_json({"operation": row.value.key.row, "callbackUrl": callback_url})
        await reject(services, rejection(body.encode(), Reason.TOO_LARGE, detail, now))
        return row
    watch = replace(row.value, facts=replace(facts, callbacks=callbacks))
    return await services.store.watches.replace(watch, row.etag)


async def reject(services: Services, rejected: Rejection) -> None:
    """Record a message that cannot be accepted; the same body again is counted, not repeated."""
    events.record_rejected(services, rejected)
    table = services.store.rejections
    while await table.insert(rejected) is None:
        known: Row[Rejection] | None = await table.get(rejected.key)
        if known is None:
            continue
        again = replace(rejected, count=known.value.count + 1)
        if await table.replace(again, known.etag):
            return
