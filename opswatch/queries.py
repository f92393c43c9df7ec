"""The read side: operations with their deliveries, and lists of them; writes nothing."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from opswatch.core.deliveries import Delivery
from opswatch.core.keys import Key
from opswatch.core.watches import OperationFacts, Result, TimelineEntry, Watch
from opswatch.ports import Page, Query, Row, Store, Table

REGISTERED = "registered"  # the status of a watch before its first answer


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation: its watch or its result, and its deliveries in the order of their keys."""

    live: Watch | Result
    deliveries: tuple[Delivery, ...]

    @property
    def facts(self) -> OperationFacts:
        """What is known of the operation."""
        return self.live.facts

    @property
    def status(self) -> str:
        """The status, as the operation's row has it."""
        if isinstance(self.live, Result):
            return self.live.end.status.value
        return self.live.facts.status or REGISTERED


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFilter:
    """Which operations to list: all conditions that are given must hold."""

    since: datetime  # of registration, inclusive
    until: datetime | None = None  # of registration, exclusive
    status: str | None = None  # in any case, as a row has it
    is_watching: bool | None = None  # True: without a result; False: with one

    def selects(self, entry: TimelineEntry) -> bool:
        """Return whether the entry fulfils every condition."""
        is_watching = entry.finished_at is None
        return (
            self.since <= entry.registered_at
            and (self.until is None or entry.registered_at < self.until)
            and (self.status is None or (entry.status or "").lower() == self.status.lower())
            and self.is_watching in (None, is_watching)
        )


async def get_operation(store: Store, key: Key) -> OperationView | None:
    """Return the operation `key`, or None if it is unknown.

    The result wins, unless the operation is watched again. It is read after the watch, which may
    end in between.
    """
    watch = await store.watches.get(key)
    result = await store.results.get(key)
    live: Row[Watch] | Row[Result] | None = result or watch
    if watch and result and watch.value.facts.round > result.value.facts.round:
        live = watch
    return OperationView(live.value, await get_deliveries(store, key)) if live else None


async def get_deliveries(store: Store, key: Key) -> tuple[Delivery, ...]:
    """Return the deliveries of an operation; a pending one replaces its record."""
    query = Query(partition=key.partition, row_prefix=f"{key.row}~")
    found: dict[Key, Delivery] = {}
    tables: tuple[Table[Delivery], ...] = (store.deliveries, store.outbox)
    for table in tables:
        async for row in table.find(query):
            if row.value.operation == key:
                found[row.value.key] = row.value
    return tuple(found[key] for key in sorted(found, key=lambda key: key.row))


async def list_operations(
    store: Store,
    wanted: OperationFilter,
    now: datetime,
    *,
    limit: int = 50,
    continuation: str | None = None,
) -> Page[TimelineEntry]:
    """Return up to `limit` (1 to 1000) operations, newest first.

    The status of an operation that is watched is its watch's: the timeline is written only at the
    beginning and at the end. `continuation` is the page's before; raises `ValueError` for any other
    text.
    """
    newest = min(now, wanted.until or now).date()
    day, token = newest, None
    if continuation is not None:
        day, token = _parse(continuation, newest)
    entries: list[TimelineEntry] = []
    while day >= wanted.since.date():
        # Never more than are missing: a page cannot be continued in its middle.
        page = await store.timeline.find_page(
            Query(partition=day.isoformat()), limit - len(entries), token
        )
        for row in page.values:
            entry = await _with_current_status(store, row.value)
            if wanted.selects(entry):
                entries.append(entry)
        token = page.continuation
        if token is None:
            day -= timedelta(days=1)
        if len(entries) == limit:
            more = day >= wanted.since.date()
            return Page(entries, f"{day.isoformat()}.{token or ''}" if more else None)
    return Page(entries)


async def iter_operations(
    store: Store, wanted: OperationFilter, now: datetime
) -> AsyncIterator[TimelineEntry]:
    """Yield all operations that `wanted` selects, newest first."""
    page = await list_operations(store, wanted, now)
    while True:
        for entry in page.values:
            yield entry
        if page.continuation is None:
            return
        page = await list_operations(store, wanted, now, continuation=page.continuation)


async def _with_current_status(store: Store, entry: TimelineEntry) -> TimelineEntry:
    if entry.finished_at is not None:
        return entry
    watch = await store.watches.get(entry.operation)
    status = watch.value.facts.status if watch else None
    return replace(entry, status=status or REGISTERED)


def _parse(continuation: str, newest: date) -> tuple[date, str | None]:
    """Return the day of a continuation and its place in that day; a later day is refused.

    Each day costs a request: a made-up one in the year 9999 would cost millions.
    """
    text, dot, token = continuation.partition(".")
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if dot and day <= newest:
            return day, token or None
    raise ValueError("not a continuation")
