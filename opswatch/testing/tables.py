"""Fakes of the tables: they check ETags and keep encoded rows as the real ones do."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any, Generic, TypeVar

from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import HostCircuit
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key
from opswatch.core.kinds import KindDurations
from opswatch.core.lookahead import LookAhead
from opswatch.core.summary import HourCounts, PendingDelivery, RunningWatch, Summary
from opswatch.core.timeline import SettledEntry, UnsuccessfulEntry
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.ports import Page, Query, Row, Store
from opswatch.rows import tables
from opswatch.rows.codec import Codec, Entity, Noun, UnreadableRowError

T = TypeVar("T", bound=Noun)


class MemoryTable(Generic[T]):
    """A table in memory; `beside` is one of other nouns with which it shares its rows."""

    def __init__(self, codec: Codec[T], beside: "MemoryTable[Any] | None" = None) -> None:
        self._codec = codec
        self._etags = count(1)
        # The entity and its ETag.
        self.rows: dict[Key, tuple[Entity, str]] = beside.rows if beside else {}
        self.unreadable: list[Key] = []  # of rows that could not be decoded, each time

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none."""
        if key not in self.rows:
            return None
        return self._readable(key) or self._read(key)  # which raises

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""
        key = noun.key
        return None if key in self.rows else self._write(key, noun)

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""
        key = noun.key
        if key not in self.rows:
            return None
        if self.rows[key][1] == etag:
            return self._write(key, noun)
        current = self._read(key)  # a repeated write conflicts with itself
        return current if self._codec.encode(current.value) == self._codec.encode(noun) else None

    async def merge(self, row: Row[T], noun: T) -> Row[T] | None:
        """Write what `noun` changes of `row`; return None if the row has changed or is gone."""
        key = noun.key
        before, after = self._codec.encode(row.value), self._codec.encode(noun)
        if row.is_copy and not before.keys() <= after.keys():
            return None
        if key not in self.rows:
            return None
        entity, etag = self.rows[key]
        changed = {name: after[name] for name in after if after[name] != before.get(name)}
        if etag != row.etag:  # a repeated write conflicts with itself
            is_written = all(entity.get(name) == value for name, value in changed.items())
            return self._read(key) if is_written else None
        kept = {name: value for name, value in entity.items() if name in after or row.is_copy}
        return replace(self._write_entity(key, kept | changed, noun), is_copy=row.is_copy)

    def recall(self, key: Key) -> Row[T] | None:  # noqa: ARG002 - the port's
        """Return None: it remembers nothing."""
        return None

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""
        self._write(noun.key, noun)

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""
        if key in self.rows and etag not in (None, self.rows[key][1]):
            return False
        self.rows.pop(key, None)
        return True

    async def delete_all(self, rows: Sequence[Row[T]]) -> set[Key]:
        """Remove the rows that have not changed, each named once; return the keys of the others."""
        return {row.value.key for row in rows if not await self.delete(row.value.key, row.etag)}

    async def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys."""
        for key in self._keys():
            if key in self.rows and self._selects(query, key):
                row = self._readable(key)
                if row is not None:
                    yield row

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` of the rows that `query` selects, in order."""
        if continuation is not None and continuation.count("\n") != 1:
            raise ValueError("not a continuation")
        after = Key(*continuation.split("\n")) if continuation else None
        keys = [key for key in self._keys() if self._selects(query, key)]
        if after is not None:
            keys = [key for key in keys if (key.partition, key.row) > (after.partition, after.row)]
        page = keys[:limit]
        last = f"{page[-1].partition}\n{page[-1].row}" if len(keys) > limit else None
        rows = [self._readable(key) for key in page]
        return Page([row for row in rows if row is not None], last)

    def values(self) -> list[T]:
        """Return the contents of the rows, in the order of their keys."""
        return [self._read(key).value for key in self._keys()]

    def _keys(self) -> list[Key]:
        keys = [key for key in self.rows if self._codec.has(key.partition)]
        return sorted(keys, key=lambda key: (key.partition, key.row))

    def _read(self, key: Key) -> Row[T]:
        entity, etag = self.rows[key]
        return Row(self._codec.decode(entity), etag)

    def _readable(self, key: Key) -> Row[T] | None:
        try:
            return self._read(key)
        except UnreadableRowError:
            self.unreadable.append(key)
            return None

    def _write(self, key: Key, noun: T) -> Row[T]:
        return self._write_entity(key, self._codec.encode(noun), noun)

    def _write_entity(self, key: Key, entity: Entity, noun: T) -> Row[T]:
        etag = f'W/"{next(self._etags)}"'
        self.rows[key] = (entity, etag)
        return Row(noun, etag)

    def _selects(self, query: Query, key: Key) -> bool:
        entity = self.rows[key][0]
        due_at: Any = entity.get(self._codec.due)
        if not isinstance(due_at, datetime):
            due_at = None  # as in the storage: a condition on a column of another type never holds
        return (
            query.partition in (None, key.partition)
            and (query.partition_before is None or key.partition < query.partition_before)
            and (query.row_prefix is None or key.row.startswith(query.row_prefix))
            and (query.row_after is None or key.row > query.row_after)
            and (query.due_from is None or (due_at is not None and due_at >= query.due_from))
            and (query.due_before is None or (due_at is not None and due_at < query.due_before))
            and query.far in (None, entity.get("far"))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStore(Store):
    """All tables in memory."""

    watches: MemoryTable[Watch] = field(default_factory=lambda: MemoryTable(tables.WATCHES))
    results: MemoryTable[Result] = field(default_factory=lambda: MemoryTable(tables.RESULTS))
    outbox: MemoryTable[Delivery] = field(default_factory=lambda: MemoryTable(tables.OUTBOX))
    deliveries: MemoryTable[Delivery] = field(
        default_factory=lambda: MemoryTable(tables.DELIVERIES)
    )
    timeline: MemoryTable[TimelineEntry] = field(
        default_factory=lambda: MemoryTable(tables.TIMELINE)
    )
    unsuccessful: MemoryTable[UnsuccessfulEntry] = field(init=False)
    settled: MemoryTable[SettledEntry] = field(init=False)
    summary: MemoryTable[Summary] = field(init=False)
    hours: MemoryTable[HourCounts] = field(init=False)
    running: MemoryTable[RunningWatch] = field(init=False)
    pending: MemoryTable[PendingDelivery] = field(init=False)
    rejections: MemoryTable[Rejection] = field(
        default_factory=lambda: MemoryTable(tables.REJECTIONS)
    )
    hosts: MemoryTable[HostCircuit] = field(default_factory=lambda: MemoryTable(tables.HOSTS))
    durations: MemoryTable[KindDurations] = field(
        default_factory=lambda: MemoryTable(tables.DURATIONS)
    )
    lookahead: MemoryTable[LookAhead] = field(default_factory=lambda: MemoryTable(tables.LOOKAHEAD))

    def __post_init__(self) -> None:
        beside: dict[str, MemoryTable[Any]] = {
            "unsuccessful": MemoryTable(tables.UNSUCCESSFUL, beside=self.timeline),
            "settled": MemoryTable(tables.SETTLED, beside=self.timeline),
            "summary": MemoryTable(tables.SUMMARY, beside=self.timeline),
            "hours": MemoryTable(tables.HOURS, beside=self.timeline),
            "running": MemoryTable(tables.RUNNING, beside=self.watches),
            "pending": MemoryTable(tables.PENDING, beside=self.outbox),
        }
        for name, table in beside.items():
            object.__setattr__(self, name, table)
