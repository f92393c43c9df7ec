"""A watch whose end is kept becomes a result and deliveries, and is removed; repeatable."""

from dataclasses import replace
from datetime import datetime

from opswatch.core.deliveries import DIGITS, begin_late, new_delivery
from opswatch.core.keys import Key
from opswatch.core.kinds import duration_sample
from opswatch.core.policy import CLOCK_SKEW
from opswatch.core.summary import counted_as
from opswatch.core.timeline import replaced_entries, unsuccessful_entry
from opswatch.core.watches import (
    Result,
    Watch,
    can_be_watched_again,
    replace_result,
    timeline_entry,
)
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.unreadable import get_or_remove
from opswatch.steps.wakeups import delivery_chain, start_waiting


async def finish(services: Services, row: Row[Watch]) -> Result:
    """Write the result of a watch whose end is kept, create its deliveries, and remove the watch.

    Each effect can be repeated. The removal comes last, and only of the row that was read: a
    receiver that has joined since gets its delivery first, and a new round that has begun since is
    left alone. Returns the result that is stored: the first end of a round counts.
    """
    result = await _store_result(services, row.value)
    await _list_end(services, result)
    await _create_deliveries(services, row, result)
    return result


async def finish_late_registration(services: Services, row: Row[Watch], ended: Result) -> None:
    """Finish a watch that was begun when its operation already had a result.

    That one is not stored again: if it was purged since, nothing would lead the purge to it. But
    it is listed: the worker that stored it may have crashed, and its watch is removed here.
    """
    await _list_end(services, ended)
    await _create_deliveries(services, row, ended)


async def _create_deliveries(services: Services, row: Row[Watch], result: Result) -> None:
    """Create the deliveries of a watch, and remove it, unless it is of a later round."""
    key = row.value.key
    called: set[str] = set()
    failure: Exception | None = None
    current: Row[Watch] | None = row
    while current is not None and current.value.facts.round <= result.facts.round:
        facts = current.value.facts
        since = max(result.end.finished_at, facts.registered_at)
        for url in facts.callbacks:
            if url not in called and facts.wants(url, result.end.status):
                ends = (facts.callback_on or {}).get(url)
                try:
                    await _create_delivery(services, result, url, ends, since)
                except Exception as error:
                    failure = error  # the other receivers are called; the watch stays
            called.add(url)
        if failure is not None:
            raise failure
        if await services.store.watches.delete(key, current.etag):
            break
        current = await services.store.watches.get(key)


async def _store_result(services: Services, watch: Watch) -> Result:
    """Insert the result of a watch, or replace that of an earlier round; return what is stored.

    Its duration is learned if it is inserted here: so it counts once, however often this is
    repeated.
    """
    assert watch.end is not None, watch.key  # noqa: S101 - an end is kept first
    results = services.store.results
    result = Result(facts=watch.facts, end=watch.end)
    while await results.insert(result) is None:
        row = await results.get(watch.key)
        if row is None:
            continue
        if row.value.facts.round >= watch.facts.round:
            return row.value
        later = replace_result(row.value, result)
        if await results.replace(later, row.etag) is not None:
            result = later
            break
    else:
        sample = duration_sample(watch)
        if sample is not None:
            services.durations.add(sample)
    services.counts.add(counted_as(result.end.status), result.end.finished_at)
    events.record_finished(services, result)
    return result


async def _list_end(services: Services, result: Result) -> None:
    """Put the end into the timeline.

    1. Worker A stores `Lost` and stalls; the operation is watched again, ends, and is listed.
    2. A lists `Lost`, looks for the result, and lists the later one.

    An end of ARM's is never replaced.
    """
    listed: Result | None = result
    while listed is not None:
        entry = timeline_entry(listed.facts, listed.end)
        await services.store.timeline.put(entry)
        unsuccessful = unsuccessful_entry(entry)
        if unsuccessful is not None:
            await services.store.unsuccessful.put(unsuccessful)
        for replaced in replaced_entries(listed):
            await services.store.unsuccessful.delete(replaced.key)
        if not can_be_watched_again(listed):
            return
        row = await services.store.results.get(listed.key)
        is_later = row is not None and row.value.facts.round > listed.facts.round
        listed = row.value if row is not None and is_later else None


async def _create_delivery(
    services: Services,
    result: Result,
    callback_url: str,
    ends: tuple[str, ...] | None,
    since: datetime,
) -> None:
    """Create the delivery of `result` to `callback_url`, unless it exists or has settled.

    1. The row is inserted, then the record is looked for: a delivery that settles in between has
       written its record before it left the outbox, so it never begins twice.
    2. Only the worker that inserted the row sends its wake-up: two that finish at the same time do
       not call the receiver twice. If it crashes before, the repair finds the row.
    """
    outbox, records = services.store.outbox, services.store.deliveries
    for digits in DIGITS:
        delivery = new_delivery(
            result.key,
            callback_url,
            since,
            services.policy,
            of_round=result.facts.round,
            digits=digits,
        )
        delivery = begin_late(replace(delivery, callback_on=ends), services.clock())
        inserted = await outbox.insert(delivery)
        try:
            existing = await records.get(delivery.key)
            is_pending = existing is None
            if inserted is None and is_pending:
                existing = await outbox.get(delivery.key)
            if inserted is not None and existing is not None:
                await outbox.delete(delivery.key, inserted.etag)
            if existing is not None and existing.value.callback_url != callback_url:
                continue
            if is_pending:  # perhaps inserted here, and refused because it was repeated
                await keep_result(services, result)
            if inserted is not None and existing is None:
                await start_waiting(services, delivery_chain(services), delivery)
        except Exception:
            if inserted is not None:  # this will be repeated, but not its insertion
                await keep_result(services, result)
                await start_waiting(services, delivery_chain(services), delivery)
            raise
        return


async def keep_result(services: Services, result: Result) -> None:
    """Make sure that `result`, for which a delivery was just created, is not purged before it.

    1. The purge reads an old result, and finds nothing pending.
    2. A receiver joins, or a user asks for a replay: its delivery is created.
    3. Here the row gets a new ETag, so that the purge leaves it. If it has gone, it is written
       again; first its entry in the timeline, through which the purge finds it later.
    """
    if not _may_be_purged(services, result):
        return
    while not await touch_result(services, result.key):
        await _list_again(services, result)
        if await services.store.results.insert(result) is not None:
            return


async def touch_result(services: Services, key: Key) -> bool:
    """Give an old result a new ETag, so that a purge that has read it leaves it.

    Returns False if there is none.
    """
    results = services.store.results
    while (row := await results.get(key)) is not None:
        is_young = not _may_be_purged(services, row.value)
        if is_young or await results.replace(row.value, row.etag) is not None:
            return True
    return False


def _may_be_purged(services: Services, result: Result) -> bool:
    return result.end.finished_at <= services.clock() - services.policy.retention + CLOCK_SKEW


async def _list_again(services: Services, result: Result) -> None:
    """Make sure that `result` is listed, under a new ETag; an entry of a later round is left."""
    timeline, entry = services.store.timeline, timeline_entry(result.facts, result.end)
    while await timeline.insert(entry) is None:
        row = await get_or_remove(timeline, entry.key)
        if row is None:
            continue
        is_other = row.value.finished_at != entry.finished_at
        if is_other or await timeline.replace(entry, row.etag) is not None:
            return
