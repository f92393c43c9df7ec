"""Lists over partitions of dates, if a page of the storage holds little."""

from datetime import timedelta
from typing import Any

import pytest

from opswatch import dated
from opswatch.core.timeline import UnsuccessfulEntry, unsuccessful_entry
from opswatch.core.watches import FinalStatus, timeline_entry
from opswatch.dated import Dated, Span, list_dated
from opswatch.ports import Page, Query, Row
from opswatch.testing import MemoryStore
from tests.support.builders import ENDPOINT, NOW, change, end, operation, result

SPAN = Span(since=NOW - timedelta(hours=1), until=NOW)


@pytest.fixture
async def source(monkeypatch: pytest.MonkeyPatch) -> Dated[UnsuccessfulEntry]:
    """Thirty failed operations and six that timed out: one a minute and one in five minutes."""
    monkeypatch.setattr(dated, "MOST_ROWS", 3)
    table = MemoryStore().unsuccessful
    for status, minutes in ((FinalStatus.FAILED, 1), (FinalStatus.TIMED_OUT, 5)):
        for number in range(30 // minutes):
            at = NOW - number * timedelta(minutes=minutes) - timedelta(seconds=minutes)
            named = operation(f"{ENDPOINT}/subscriptions/s/operations/{status}-{number}")
            facts = change(result(), operation=named, registered_at=at).facts
            entry = unsuccessful_entry(timeline_entry(facts, end(status)))
            assert entry is not None
            await table.put(entry)
    return Dated(
        table=table,
        selects=lambda _: True,
        is_filtered=True,
        suffixes=("~Failed", "~TimedOut"),
        at=lambda row: row.entry.registered_at,
    )


async def pages_of(source: Dated[UnsuccessfulEntry], limit: int) -> list[list[UnsuccessfulEntry]]:
    pages: list[list[UnsuccessfulEntry]] = []
    continuation = None
    while not pages or continuation is not None:
        page = await list_dated(source, SPAN, limit, continuation)
        pages.append(list(page.values))
        continuation = page.continuation
    return pages


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_partitions_are_merged_although_pages_end_at_different_rows(
    source: Dated[UnsuccessfulEntry], limit: int
) -> None:
    pages = await pages_of(source, limit)
    listed = [row.entry.registered_at for page in pages for row in page]
    assert len(listed) == 36
    assert listed == sorted(listed, reverse=True)
    assert all(len(page) <= limit for page in pages)


async def test_page_of_several_partitions_reads_no_more_than_permitted(
    source: Dated[UnsuccessfulEntry],
) -> None:
    reads = count_reads(source)
    assert (await list_dated(source, SPAN, 100, most=3)).continuation is not None
    assert reads == ["2026-11-23~Failed", "2026-11-23~TimedOut"]


async def test_empty_pages_of_the_storage_end_nothing(source: Dated[UnsuccessfulEntry]) -> None:
    inner = source.table.find_page

    async def find_page(
        query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[UnsuccessfulEntry]]:
        first, second = f"{query.partition}\n", f"{query.partition}\n "
        if continuation in (None, first):
            return Page([], first if continuation is None else second)
        return await inner(query, limit, continuation)

    source.table.find_page = find_page  # type: ignore[method-assign]
    assert sum(map(len, await pages_of(source, 100))) == 36


def count_reads(source: Dated[UnsuccessfulEntry]) -> list[str]:
    """Record the partition of each page that is read."""
    reads: list[str] = []
    inner = source.table.find_page

    async def find_page(query: Query, *arguments: Any) -> Page[Row[UnsuccessfulEntry]]:
        reads.append(query.partition or "")
        return await inner(query, *arguments)

    source.table.find_page = find_page  # type: ignore[assignment,method-assign]
    return reads
