"""A post becomes a watch, a further receiver of a known operation, or a rejection."""

from dataclasses import replace
from datetime import datetime

from opswatch.core.deliveries import Delivery
from opswatch.core.errors import Reason
from opswatch.core.intake import Registration, Rejection, rejection
from opswatch.core.keys import Key
from opswatch.core.kinds import kind_key
from opswatch.core.mistakes import Part, problems_of
from opswatch.core.summary import Counted
from opswatch.core.texts import to_json
from opswatch.core.watches import (
    Result,
    Watch,
    add_callback,
    begin,
    can_be_watched_again,
    has_room,
    join_callbacks,
    timeline_entry,
)
from opswatch.ports import Query, Row, Services, Table
from opswatch.steps import events
from opswatch.steps.finish import finish, finish_late_registration
from opswatch.steps.poll import poll_row
from opswatch.steps.unreadable import get_or_remove
from opswatch.steps.wakeups import start_waiting, watch_chain


async def register_and_poll(services: Services, registration: Registration, now: datetime) -> None:
    """Register what a message has posted, and make the first poll, if it is due.

    If a wrong setting stops polls, the first one is a wake-up, which is kept.
    """
    with events.span(services, "register", registration.operation.key, 1):
        link = services.telemetry.traceparent()
        row = await _register(services, registration, now)
        is_stopped = bool(problems_of(services.mistakes, Part.POLLS))
        if row is not None and (is_stopped or row.value.due_at > services.clock()):
            await start_waiting(services, watch_chain(services), row.value)
            row = None
    if row is not None:
        await poll_row(services, row, link)


async def register(services: Services, registration: Registration, now: datetime) -> Key:
    """Make sure that an operation is watched and that its receiver is, or will be, called.

    ARM is not asked: the first poll is a separate message, so that no ARM can hang a request.
    """
    with events.span(services, "register", registration.operation.key, 1):
        row = await _register(services, registration, now)
        if row is not None:
            await start_waiting(services, watch_chain(services), row.value)
    return registration.operation.key


async def _register(
    services: Services, registration: Registration, now: datetime
) -> Row[Watch] | None:
    """Write the watch; return its row if it was not polled yet, or None if nothing is left to do.

    May be repeated: a known operation gains the receiver and nothing else.

    1. The watch is written, then the result is looked for. (In the other order: the result is not
       found; the operation ends, its watch is removed; the watch written now never finishes.)
    2. If the operation has ended, in this round or a later one, the watch only leads to its finish.
    3. If an end is kept, a crash came after the poll that saw it: finish. The message of a first
       poll is the post itself, and no other one leads here.
    4. If it is new, or a crash came before its first poll: list it; the caller polls it.
    """
    key, results = registration.operation.key, services.store.results
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
    before = ended
    ended = await results.get(key)
    facts = watch.value.facts
    if ended is not None and ended.value.facts.round < facts.round:
        before, ended = ended, None
    # Perhaps purged since it was read first.
    earlier = before.value if before and before.value.facts.round < facts.round else None
    if watch.value.end is not None:
        await finish(services, watch)
    elif ended is not None:
        if registration.is_default_callback and facts.polls == 0:
            # The settings' receiver is for the first post alone.
            own = tuple(url for url in facts.callbacks if url != registration.callback_url)
            facts = replace(facts, callbacks=own)
            watch = replace(watch, value=replace(watch.value, facts=facts))
        await finish_late_registration(services, watch, ended.value)
    elif facts.polls == 0:
        events.record_registered(watch.value)
        await _list_in_timeline(services, watch.value, earlier)
        return watch
    return None


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

    A purge may remove the earlier entry at the same time: then the new one is inserted, unless
    there is one.
    """
    timeline, entry = services.store.timeline, timeline_entry(watch.facts, None)
    if await timeline.insert(entry) is None and earlier is not None:
        row = await get_or_remove(timeline, entry.key)
        is_gone = row is None
        if row is not None and row.value.finished_at == earlier.end.finished_at:
            is_gone = await timeline.replace(entry, row.etag) is None
        if is_gone:
            await timeline.insert(entry)


async def _insert_or_join(
    services: Services, begun: Watch, registration: Registration, now: datetime
) -> Row[Watch]:
    """Insert the watch, or add the receiver to the existing one.

    A watch of an earlier round than `begun` makes way; its receivers are kept. It is left over from
    before the end, or it was begun because a purge had removed the result that `begun` continues.
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
            facts = join_callbacks(begun.facts, row.value.facts)
            joined = await watches.replace(replace(begun, facts=facts), row.etag)
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


async def reject(services: Services, rejected: Rejection) -> bool:
    """Record a message that cannot be accepted; the same body again is counted, not repeated.

    Returns False if it could not be counted now: another worker counts the same body.
    """
    table = services.store.rejections
    if await table.insert(rejected) is None:
        known: Row[Rejection] | None = await get_or_remove(table, rejected.key)
        if known is None:
            return False
        again = replace(rejected, count=known.value.count + 1)
        if await table.replace(again, known.etag) is None:
            return False
    events.record_rejected(services, rejected)
    services.counts.add(Counted.REJECTED, rejected.received_at)
    return True
