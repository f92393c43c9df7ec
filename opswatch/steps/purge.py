"""The purge: what is older than the retention is removed, in slices that end in time.

A slice is never complete: each run continues with what is oldest.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import HostCircuit
from opswatch.core.intake import Rejection
from opswatch.core.mistakes import Part, require
from opswatch.core.timeline import timeline_keys
from opswatch.core.watches import Result, TimelineEntry, timeline_entry, timeline_row
from opswatch.ports import Query, Row, Services
from opswatch.steps import events

T = TypeVar("T")
BUDGET = timedelta(minutes=4)  # of a run; the host ends a function after 5 minutes
SHARE = timedelta(seconds=30)  # of it, at most: rejections, and circuits of hosts
CHUNK = 500  # rows that are removed together
_AT_ONCE = 32  # operations that are examined
_MOST_FAILURES = 50  # in a run: more of them are an outage


async def purge(services: Services) -> None:
    """Remove what is older than the retention, for at most `BUDGET`; the next run continues.

    Rejections and circuits come first, for a share of the time each, so that results never starve
    them. A part that fails does not stop the others, and makes the run fail in the end.
    """
    require(services.mistakes, Part.PURGE)
    begun_at = services.clock()
    before = begun_at - services.policy.retention
    parts = (
        ("rejections", _purge_rejections, begun_at + SHARE),
        ("circuits", _purge_circuits, begun_at + 2 * SHARE),
        ("results", _purge_results, begun_at + BUDGET),
    )
    removed, failures = dict.fromkeys(("rejections", "circuits", "results", "failed"), 0), []
    for name, purge_part, until in parts:
        slice_ = _Slice(before, until)
        try:
            await purge_part(services, slice_)
        except Exception as error:
            failures.append(error)
        removed[name] = slice_.removed
        removed["failed"] += slice_.failed
    events.record_purged(**removed)
    if failures:
        raise ExceptionGroup("a part of the purge failed", failures)


@dataclass(slots=True)
class _Slice:
    """One part of a run, and what it has done so far."""

    before: datetime  # what finished before is old
    until: datetime  # when it ends
    removed: int = 0
    failed: int = 0  # operations that could not be examined


async def _purge_rejections(services: Services, slice_: _Slice) -> None:
    until_date = _after_date_of(slice_.before)
    table = services.store.rejections

    async def old() -> AsyncIterator[Row[Rejection]]:
        async for row in table.find(Query(partition_before=until_date)):
            if row.value.received_at < slice_.before:
                yield row

    async for chunk in _chunks(services, old(), slice_):
        slice_.removed += len(chunk) - len(await table.delete_all(chunk))


async def _purge_circuits(services: Services, slice_: _Slice) -> None:
    table = services.store.hosts
    old: AsyncIterator[Row[HostCircuit]] = table.find(Query(due_before=slice_.before))
    async for chunk in _chunks(services, old, slice_):
        slice_.removed += len(chunk) - len(await table.delete_all(chunk))


async def _purge_results(services: Services, slice_: _Slice) -> None:
    """Remove the results that the old entries of the timeline lead to, and what belongs to them.

    Deliveries go first, then the result, and the timeline's entry last: after an interruption the
    next run finds the rest. Each row is removed only as it was read: a changed row is needed.

    1. An old result is read here, and nothing is pending.
    2. A receiver joins, or a user asks for a replay: the delivery is created, and then the result
       gets a new ETag, or is written again (`keep_result`).
    3. The removal of the result fails, or was in vain.
    """
    store = services.store
    async for chunk in _chunks(services, _old_entries(services, slice_.before), slice_):
        old = await _examine_all(services, chunk, slice_)
        records = [record.value for found in old for record in found.records]
        await _remove_from_indexes(services, records)
        kept = await store.deliveries.delete_all(
            _each_once(record for found in old for record in found.records)
        )
        old = [f for f in old if not any(record.value.key in kept for record in f.records)]
        results = _each_once(found.result for found in old if found.result)
        kept = await store.results.delete_all(results)
        slice_.removed += len(results) - len(kept)
        gone = [f.entry for f in old if f.result is None or f.result.value.key not in kept]
        await _remove_from_indexes(services, [entry.value for entry in gone])
        await store.timeline.delete_all(gone)


async def _remove_from_indexes(
    services: Services, nouns: Sequence[TimelineEntry | Delivery]
) -> None:
    """Remove the entries of the timeline's indexes: before what they are of, which leads to them.

    A record that has changed since gets its entry from the step that changed it.
    """
    own = {noun.key for noun in nouns}
    for key in {key for noun in nouns for key in timeline_keys(noun)} - own:
        await services.store.timeline.delete(key)


@dataclass(frozen=True, slots=True)
class _Old:
    """An entry of the timeline that may go, and what goes before it."""

    entry: Row[TimelineEntry]
    result: Row[Result] | None = None
    records: tuple[Row[Delivery], ...] = ()


async def _examine_all(
    services: Services, entries: Sequence[Row[TimelineEntry]], slice_: _Slice
) -> list[_Old]:
    """Return which of `entries` may go; what cannot be read is recorded, counted and left."""
    limit, found = asyncio.Semaphore(_AT_ONCE), list[_Old]()

    async def examine(entry: Row[TimelineEntry]) -> None:
        async with limit:
            try:
                old = await _examine(services, entry, slice_.before)
            except Exception as error:
                slice_.failed += 1
                if slice_.failed > _MOST_FAILURES:
                    raise
                events.record_purge_failed(entry.value.operation, error)
            else:
                found.extend([old] if old else [])

    async with asyncio.TaskGroup() as group:
        for entry in entries:
            group.create_task(examine(entry))
    return found


async def _examine(services: Services, entry: Row[TimelineEntry], before: datetime) -> _Old | None:
    """Return what may go with an old entry; None if its operation, or what it is owed, is not old.

    The order of the reads counts. The result comes first: its ETag then shows whatever happens
    later. The watch comes before the outbox: it is removed after its deliveries were created.
    """
    store, key = services.store, entry.value.operation
    result = await store.results.get(key)
    if result is not None and result.value.end.finished_at >= before:
        own = timeline_entry(result.value.facts, result.value.end)
        # An entry of an earlier life is left over from an interrupted purge.
        return None if own.key == entry.value.key else _Old(entry)
    if await store.watches.get(key) is not None:
        return None
    of_operation = Query(partition=key.partition, row_prefix=f"{key.row}~")
    async for pending in store.outbox.find(of_operation):
        if pending.value.operation == key:
            return None
    records = tuple(
        [row async for row in store.deliveries.find(of_operation) if row.value.operation == key]
    )
    if result is None and any(record.value.started_at >= before for record in records):
        return None  # they say why a receiver was not called
    return _Old(entry, result, records)


async def _old_entries(services: Services, before: datetime) -> AsyncIterator[Row[TimelineEntry]]:
    """Yield the entries that ended before, and those without an end: they may be left over.

    The entries of a date are in descending order: later ones than `before` are not read.
    """
    date = before.date().isoformat()
    for query in (
        Query(partition_before=date),
        Query(partition=date, row_after=timeline_row(before)),
    ):
        async for row in services.store.timeline.find(query):
            finished_at = row.value.finished_at
            if finished_at is None or finished_at < before:
                yield row


async def _chunks(
    services: Services, rows: AsyncIterator[T], slice_: _Slice
) -> AsyncIterator[list[T]]:
    """Yield rows by the `CHUNK`, until the slice's time is over."""
    chunk: list[T] = []
    async for row in rows:
        if services.clock() >= slice_.until:
            return
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _each_once(rows: Iterable[Row[T]]) -> list[Row[T]]:
    """Return each row once: two entries may lead to it."""
    return list({row.value.key: row for row in rows}.values())  # type: ignore[attr-defined]


def _after_date_of(instant: datetime) -> str:
    return (instant + timedelta(days=1)).date().isoformat()
