"""A post becomes a watch, a further receiver of a known operation, or a rejection."""

from dataclasses import replace
from datetime import datetime, timedelta

from opswatch.core.errors import Reason
from opswatch.core.intake import Registration, Rejection, rejection
from opswatch.core.keys import Key
from opswatch.core.kinds import kind_key
from opswatch.core.texts import MAX_PROPERTY, to_json, utf16_length
from opswatch.core.watches import (
    Watch,
    add_callback,
    begin,
    can_be_watched_again,
    timeline_entry,
)
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.finish import finish_late_registration
from opswatch.steps.wakeups import send_wake_up


async def register(services: Services, registration: Registration, now: datetime) -> Key:
    """Make sure that an operation is watched and that its receiver is, or will be, called.

    May be repeated: a known operation gains the receiver and nothing else.

    1. The watch is written, then the result is looked for. (In the other order: the result is not
       found; the operation ends, its watch is removed; the watch written now never finishes.)
    2. If the operation has ended, in this round or a later one, the watch only leads to its finish.
    3. If it is new, or a crash came before its first message: list it and send that message.
    """
    key, results = registration.operation.key, services.store.results
    with events.span(services, "register", key, 1):
        ended = await results.get(key) if registration.again else None
        is_again = ended is not None and can_be_watched_again(ended.value)
        begun = begin(
            registration,
            now,
            services.policy,
            ended.value if ended and is_again else None,
            services.durations.expectation(kind_key(registration.operation, registration.kind)),
        )
        watch = await _insert_or_join(services, begun, registration, now)
        ended = await results.get(key)
        facts = watch.value.facts
        if ended is not None and ended.value.facts.round < facts.round:
            ended = None  # of an earlier round
        if ended is None and facts.polls == 0:
            events.record_registered(watch.value)
            entry = timeline_entry(facts, None)
            if facts.round > 1:
                await services.store.timeline.put(entry)
            else:
                await services.store.timeline.insert(entry)
            traceparent = services.telemetry.traceparent()
            delay = max(watch.value.due_at - now, timedelta(0))
            await send_wake_up(services.operations, key, watch.value.seq, traceparent, delay)
        elif ended is not None and not (facts.polls and watch.value.end):  # else its poll does
            if registration.is_default_callback and facts.polls == 0:
                # The settings' receiver is for the first post alone.
                own = tuple(url for url in facts.callbacks if url != registration.callback_url)
                facts = replace(facts, callbacks=own)
                watch = replace(watch, value=replace(watch.value, facts=facts))
            await finish_late_registration(services, watch, ended.value)
    return key


async def _insert_or_join(
    services: Services, begun: Watch, registration: Registration, now: datetime
) -> Row[Watch]:
    """Insert the watch, or add the receiver to the one that is there already.

    A watch of an earlier round than `begun` is left over from before the end: it makes way.
    """
    watches = services.store.watches
    while True:
        row = await watches.insert(begun)
        if row is not None:
            return row
        row = await watches.get(begun.key)
        if row is None:
            continue
        if row.value.facts.round < begun.facts.round:
            joined = await watches.replace(begun, row.etag)
        elif registration.is_default_callback:
            return row
        else:
            joined = await _add_receiver(services, row, registration, now)
        if joined is not None:
            return joined


async def _add_receiver(
    services: Services, row: Row[Watch], registration: Registration, now: datetime
) -> Row[Watch] | None:
    """Add the receiver to the watch, if it is new; None if the watch has changed or ended."""
    facts, callback_url = row.value.facts, registration.callback_url
    joined = add_callback(facts, callback_url, registration.callback_on)
    if joined == facts:
        return row
    columns = (to_json(joined.callbacks), to_json(joined.callback_on))
    if any(utf16_length(column) > MAX_PROPERTY for column in columns):
        detail = f"the operation has {len(facts.callbacks)} callbacks; no more fit its row"
        body = to_json({"operation": row.value.key.row, "callbackUrl": callback_url})
        await reject(services, rejection(body.encode(), Reason.TOO_LARGE, detail, now))
        return row
    return await services.store.watches.replace(replace(row.value, facts=joined), row.etag)


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
