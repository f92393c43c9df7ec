"""Lists over partitions of dates, newest first: a page of a list costs few pages of the storage."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Generic, TypeVar

from opswatch.core.keys import Key
from opswatch.core.watches import newest_first
from opswatch.ports import Page, Query, Row, Table
from opswatch.rows.codec import Noun

T = TypeVar("T", bound=Noun)

MOST_READS = 5  # pages of the storage, for one page of a list
MOST_ROWS = 1000  # in a page of the storage
# A date, and a row key, which begins with an instant or is a digest.
_CURSOR = re.compile(r"(\d{4}-\d\d-\d\d)\.((?:\d{15}(?:~[\w.~-]{0,500})?|[0-9a-f]{64})?)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when to when, as a list's user asks."""

    since: datetime  # inclusive
    until: datetime  # exclusive

    def has(self, at: datetime) -> bool:
        """Return whether an instant is within the span."""
        return self.since <= at < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated(Generic[T]):
    """Rows of a table in one or more partitions for each date, to be listed as one.

    `at` is the instant of a row if the rows of a partition are ordered by it, the newest first.
    """

    table: Table[T]
    selects: Callable[[T], bool]
    is_filtered: bool = False  # whether `selects` may leave out most rows
    suffixes: Sequence[str] = ("",)  # of the partitions of a date; no more than `MOST_READS`
    at: Callable[[T], datetime] | None = None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a page of a list ends: in the partitions of `day`, after the row `after`."""

    day: date
    after: str | None

    def __str__(self) -> str:
        return f"{self.day.isoformat()}.{self.after or ''}"


async def list_dated(
    source: Dated[T],
    span: Span,
    limit: int,
    continuation: str | None = None,
    *,
    most: int = MOST_READS,
) -> Page[T]:
    """Return up to `limit` (1 to 1000) of the rows that `source` selects, newest first.

    A page may be short or empty, and still not the last: it costs at most `most` pages of the
    storage. Raises `ValueError` for a `continuation` that no page had: each day costs a read, and a
    day in the year 9999 millions.
    """
    cursor = _first(source, span)
    if continuation is not None:
        cursor = _parse(continuation, cursor)
    found: list[T] = []
    reads, oldest = 0, span.since.astimezone(UTC).date()
    while cursor.day >= oldest:
        if len(found) == limit or reads + len(source.suffixes) > most:
            return Page(found, str(cursor))
        reads += len(source.suffixes)
        size = MOST_ROWS if source.is_filtered else limit - len(found)
        rows, end = await _read(source, cursor, size)
        for row in rows:
            if source.at is not None and source.at(row) < span.since:
                return Page(found)  # so are all that follow
            if len(found) == limit:
                break
            cursor = _Cursor(cursor.day, row.key.row)
            if source.selects(row):
                found.append(row)
        else:
            yesterday = cursor.day - timedelta(days=1)
            cursor = _Cursor(cursor.day, end) if end else _Cursor(yesterday, None)
    return Page(found)


async def _read(source: Dated[T], cursor: _Cursor, size: int) -> tuple[list[T], str | None]:
    """Return the next rows of a day in their order, and the row key up to which they are whole.

    None: up to the end of the day. Of several partitions each has been read to another row; what is
    beyond the first of these is read again with the next page.
    """
    queries = [
        Query(partition=f"{cursor.day.isoformat()}{suffix}", row_after=cursor.after)
        for suffix in source.suffixes
    ]
    pages = await asyncio.gather(*(_read_page(source.table, query, size) for query in queries))
    ends = [page.values[-1].value.key.row for page in pages if page.continuation is not None]
    rows = sorted((row.value for page in pages for row in page.values), key=lambda row: row.key.row)
    if not ends:
        return rows, None
    return [row for row in rows if row.key.row <= min(ends)], min(ends)


async def _read_page(table: Table[T], query: Query, size: int) -> Page[Row[T]]:
    """Return a page of the storage, which may send empty ones before."""
    page = await table.find_page(query, size)
    while not page.values and page.continuation is not None:
        page = await table.find_page(query, size, page.continuation)
    return page


def _first(source: Dated[T], span: Span) -> _Cursor:
    """Return where a list begins: at its newest instant, if its rows are ordered by instants."""
    key = newest_first(span.until, Key("", ""))
    after = key.row.partition("~")[0] if source.at is not None else None
    return _Cursor(date.fromisoformat(key.partition), after)


def _parse(continuation: str, first: _Cursor) -> _Cursor:
    match = _CURSOR.fullmatch(continuation)
    try:
        cursor = _Cursor(date.fromisoformat(match[1]), match[2] or None) if match else None
    except ValueError:
        cursor = None
    if cursor is None or cursor.day > first.day:
        raise ValueError("not a continuation")
    return cursor
