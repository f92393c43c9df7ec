"""Counts by the hour: nothing is counted twice, and an outage loses nothing."""

from datetime import timedelta

import pytest
from azure.core.exceptions import ServiceRequestError

from opswatch.adapters.counts import HourlyCounts
from opswatch.core.summary import Counted, HourCounts
from opswatch.testing import MemoryStore, MemoryTable
from tests.support.builders import NOW

HOUR = "2026-11-23T03"


@pytest.fixture
def table() -> MemoryTable[HourCounts]:
    return MemoryStore().hours


def counting(table: MemoryTable[HourCounts], errors: list[Exception] | None = None) -> HourlyCounts:
    return HourlyCounts(table, (errors if errors is not None else []).append, merge_every=0)


async def test_counts_of_two_processes_add_up(table: MemoryTable[HourCounts]) -> None:
    one, other = counting(table), counting(table)
    for counts in (one, other, one):
        counts.add(Counted.FAILED, NOW)
    one.add(Counted.REJECTED, NOW + timedelta(hours=1))
    await one.merge()
    await other.merge()
    await one.close()
    await other.close()
    assert table.values() == [
        HourCounts(hour=HOUR, failed=3),
        HourCounts(hour="2026-11-23T04", rejected=1),
    ]


async def test_conflicting_merge_is_repeated(table: MemoryTable[HourCounts]) -> None:
    counts = counting(table)
    await table.insert(HourCounts(hour=HOUR, lost=1))
    inner = table.replace

    async def conflict_first(noun: HourCounts, etag: str) -> object:
        table.replace = inner  # type: ignore[method-assign]
        row = await table.get(noun.key)
        assert row is not None
        await inner(HourCounts(hour=HOUR, lost=5), row.etag)
        return await inner(noun, etag)

    table.replace = conflict_first  # type: ignore[method-assign, assignment]
    counts.add(Counted.LOST, NOW)
    await counts.close()
    assert table.values() == [HourCounts(hour=HOUR, lost=6)]


async def test_outage_is_reported_once_and_loses_nothing(table: MemoryTable[HourCounts]) -> None:
    errors: list[Exception] = []
    counts = counting(table, errors)
    inner = table.insert

    async def fail(_: HourCounts) -> None:
        raise ServiceRequestError("no route")

    table.insert = fail  # type: ignore[method-assign, assignment]
    counts.add(Counted.STOPPED, NOW)
    await counts.merge()
    counts.add(Counted.STOPPED, NOW)
    await counts.merge()
    assert len(errors) == 1
    table.insert = inner  # type: ignore[method-assign]
    await counts.close()
    assert table.values() == [HourCounts(hour=HOUR, stopped=2)]
