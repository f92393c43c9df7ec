"""A post becomes a watch, a further receiver of a known operation, or a rejection."""

from dataclasses import replace
from datetime import datetime, timedelta

from opswatch.core.deliveries import Delivery
from opswatch.core.errors import Reason
from opswatch.core.intake import Registration, Rejection, rejection
from opswatch.core.keys import Key
from opswatch.core.kinds import kind_key
from opswatch.core.summary import Counted
from opswatch.core.texts import to_json
from opswatch.core.watches import (
    Result,
    Watch,
    add_callback,
    begin,
    can_be_watched_again,
    has_room,
    timeline_entry,
)
from opswatch.ports import Query, Row, Services, Table
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
        has_default = registration.is_default_callback and registration.callback_url is not None
        ended = await results.get(key) if registration.again or has_default else None
        if ended is not None and registration.is_default_callback:
            registration = replace(registration, callback_url=None)  # it is for the first post
        if ended is not None and registration.again and can_be_watched_again(ended.value):
            begun = await _begin_again(services, registration, ended.value, now)
        else:
            kind = kind_key(registration.operation, registration.kind)
            expectation = services.durations.expectation(kind)
            begun = begin(registration, now, services.policy, expectation=expectation)
        watch = await _insert_or_join(services, begun, registration, now)
        ended = await results.get(key)
        facts = watch.value.facts
        earlier: Result | None = None
        if ended is not None and ended.value.facts.round < facts.round:
            earlier, ended = ended.value, None
        if ended is None and facts.polls == 0:
            events.record_registered(watch.value)
            await _list_in_timeline(services, watch.value, earlier)
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


async def _begin_again(
    services: Services, registration: Registration, ended: Result, now: datetime
) -> Watch:
    """Return the watch of a new round, with every receiver of the rounds before.

    The result names the receivers of its watch; receivers that were posted after the end have
    deliveries.
    """
    begun = begin(registration, now, services.policy, ended)
    if not has_room(begun.facts):
        await _reject_receiver(services, registration, now)
        registration = replace(registration, callback_url=None)
        begun = begin(registration, now, services.policy, ended)
    facts, key = begun.facts, begun.key
    of_operation = Query(partition=key.partition, row_prefix=f"{key.row}~")
    tables: tuple[Table[Delivery], ...] = (services.store.outbox, services.store.deliveries)
    for table in tables:
        async for row in table.find(of_operation):
            if row.value.operation == key:
                joined = add_callback(facts, row.value.callback_url, row.value.callback_on)
                facts = joined if has_room(joined) else facts
    return replace(begun, facts=facts)


async def _list_in_timeline(services: Services, watch: Watch, earlier: Result | None) -> None:
    """Insert the timeline's entry, or replace that of the round before, which has `earlier`.

    1. Two posts begin the same round; its watch is polled, ends, and its end is listed.
    2. The slower post lists the watch: the entry has another end by then, and is left alone.
    """
    timeline, entry = services.store.timeline, timeline_entry(watch.facts, None)
    if await timeline.insert(entry) is None and earlier is not None:
        row = await timeline.get(entry.key)
        if row is not None and row.value.finished_at == earlier.end.finished_at:
            await timeline.replace(entry, row.etag)


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
    facts = row.value.facts
    joined = add_callback(facts, registration.callback_url, registration.callback_on)
    if joined == facts:
        return row
    if not has_room(joined):
        await _reject_receiver(services, registration, now)
        return row
    return await services.store.watches.replace(replace(row.value, facts=joined), row.etag)


async def _reject_receiver(services: Services, registration: Registration, now: datetime) -> None:
    detail = "the operation has as many callbacks as fit its row"
    posted = {
        "operation": registration.operation.key.row,
        "callbackUrl": registration.callback_url,
    }
    await reject(services, rejection(to_json(posted).encode(), Reason.TOO_LARGE, detail, now))


async def reject(services: Services, rejected: Rejection) -> None:
    """Record a message that cannot be accepted; the same body again is counted, not repeated."""
    events.record_rejected(services, rejected)
    services.counts.add(Counted.REJECTED, rejected.received_at)
    table = services.store.rejections
    while await table.insert(rejected) is None:
        known: Row[Rejection] | None = await table.get(rejected.key)
        if known is None:
            continue
        again = replace(rejected, count=known.value.count + 1)
        if await table.replace(again, known.etag):
            return
