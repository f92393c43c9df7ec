"""The read side: operations with their deliveries, and lists of them; writes nothing."""

from dataclasses import dataclass
from datetime import datetime

from opswatch.core.deliveries import Delivery
from opswatch.core.keys import Key
from opswatch.core.policy import CLOCK_SKEW
from opswatch.core.timeline import INDEXED
from opswatch.core.watches import (
    FinalStatus,
    OperationFacts,
    Result,
    TimelineEntry,
    Watch,
    timeline_entry,
)
from opswatch.dated import MOST_READS, MOST_ROWS, Dated, Span, list_dated
from opswatch.ports import Page, Query, Row, Store, Table

REGISTERED = "registered"  # the status of a watch before its first answer
_FINAL = {status.value.lower(): status for status in FinalStatus}


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
    """Which operations to list: all conditions that are given must hold; texts in any case.

    Of a condition with several values, one must hold.
    """

    since: datetime  # of registration, inclusive
    until: datetime | None = None  # of registration, exclusive
    statuses: tuple[str, ...] = ()  # as a row has them
    is_watching: bool | None = None  # True: without a result; False: with one
    operation: str | None = None  # the beginning of an id
    subscriptions: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    resource: str | None = None  # a part of a resource ID

    @property
    def wants_running(self) -> bool:
        """Whether only operations without a result can be meant."""
        return self.is_watching is True or (
            self.is_watching is None
            and bool(self.statuses)
            and not _FINAL.keys() & set(map(str.lower, self.statuses))
        )

    @property
    def indexed(self) -> tuple[FinalStatus, ...]:
        """The statuses whose indexes have all that is meant; empty if the timeline is needed."""
        final = [_FINAL.get(status.lower()) for status in self.statuses]
        if any(status not in INDEXED for status in final):
            return ()
        return tuple(sorted({status for status in final if status is not None}))

    @property
    def is_narrow(self) -> bool:
        """Whether there are conditions that no index serves."""
        conditions = (self.subscriptions, self.providers, self.locations, self.kinds)
        return any(conditions) or self.operation is not None or self.resource is not None

    def selects(self, listed: "ListedOperation") -> bool:
        """Return whether an operation fulfils every condition."""
        entry = listed.entry
        return (
            self.since <= entry.registered_at
            and (self.until is None or entry.registered_at < self.until)
            and self.is_watching in (None, entry.finished_at is None)
            and _is_one_of(listed.status, self.statuses)
            and _is_one_of(entry.operation.partition, self.subscriptions)
            and _is_one_of(listed.part(0), self.providers)
            and _is_one_of(listed.part(1), self.locations)
            and _is_one_of(entry.kind, self.kinds)
            and listed.operation_id.lower().startswith((self.operation or "").lower())
            and (self.resource or "").lower() in (entry.resource_id or "").lower()
        )


@dataclass(frozen=True, slots=True)
class ListedOperation:
    """An operation in a list: its entry, and its watch if there is one and it was read."""

    entry: TimelineEntry
    watch: Watch | None = None

    @property
    def status(self) -> str:
        """The current status: the timeline is written only at the beginning and at the end."""
        if self.entry.finished_at is None and self.watch is not None:
            return self.watch.facts.status or REGISTERED
        return self.entry.status or REGISTERED

    @property
    def operation_id(self) -> str:
        """The ID of the operation; of an entry of before, that of its key."""
        return self.entry.operation_id or self.part(3)

    def part(self, number: int) -> str:
        """Return a part of the key: provider, location, collection or id."""
        parts = self.entry.operation.row.split("~")
        return parts[number] if number < len(parts) else ""


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
) -> Page[ListedOperation]:
    """Return up to `limit` (1 to 1000) operations.

    Newest first; running ones alone, in the order of their keys. A page may be short or empty, and
    still not the last. `continuation` is that of the page before; raises `ValueError` for any
    other text.
    """
    if wanted.wants_running:
        return await _list_running(store, wanted, limit, continuation)
    latest = now + CLOCK_SKEW
    span = Span(since=wanted.since, until=min(wanted.until or latest, latest))
    if wanted.indexed:
        page = await list_dated(
            Dated(
                table=store.unsuccessful,
                suffixes=[f"~{status.value}" for status in wanted.indexed],
                at=lambda row: row.entry.registered_at,
                selects=lambda row: wanted.selects(ListedOperation(row.entry)),
                is_filtered=wanted.is_narrow,
            ),
            span,
            limit,
            continuation,
        )
        return Page([ListedOperation(row.entry) for row in page.values], page.continuation)
    running: dict[Key, Watch] = {}
    if wanted.is_watching is None:
        running = await _read_running(store, wanted)

    def listed(entry: TimelineEntry) -> ListedOperation:
        return ListedOperation(entry, running.get(entry.operation))

    entries = await list_dated(
        Dated(
            table=store.timeline,
            at=lambda entry: entry.registered_at,
            selects=lambda entry: wanted.selects(listed(entry)),
            is_filtered=wanted.is_narrow or bool(wanted.statuses) or wanted.is_watching is not None,
        ),
        span,
        limit,
        continuation,
    )
    return Page(list(map(listed, entries.values)), entries.continuation)


async def _list_running(
    store: Store, wanted: OperationFilter, limit: int, continuation: str | None
) -> Page[ListedOperation]:
    found: list[ListedOperation] = []
    query = _within(wanted)
    for _ in range(MOST_READS):
        # Never more than are missing: a page of the storage cannot be continued in its middle.
        page = await store.watches.find_page(query, limit - len(found), continuation)
        for row in page.values:
            watch = row.value
            listed = ListedOperation(timeline_entry(watch.facts, None), watch)
            if wanted.selects(listed):
                found.append(listed)
        continuation = page.continuation
        if continuation is None or len(found) == limit:
            break
    return Page(found, continuation)


async def _read_running(store: Store, wanted: OperationFilter) -> dict[Key, Watch]:
    """Return the watches, or as many as some pages of the storage hold."""
    running: dict[Key, Watch] = {}
    continuation: str | None = None
    for _ in range(MOST_READS):
        page = await store.watches.find_page(_within(wanted), MOST_ROWS, continuation)
        running |= {row.value.key: row.value for row in page.values}
        continuation = page.continuation
        if continuation is None:
            break
    return running


def _within(wanted: OperationFilter) -> Query:
    """Return what of `watches` has to be read."""
    if len(wanted.subscriptions) != 1:
        return Query()
    return Query(partition=wanted.subscriptions[0].lower())


def _is_one_of(text: str | None, values: tuple[str, ...]) -> bool:
    return not values or (text or "").lower() in {value.lower() for value in values}
