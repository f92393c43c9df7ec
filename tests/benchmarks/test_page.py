"""The parts of `python -m benchmarks.page`: what lists read of the storage, and the bounds."""

from dataclasses import replace

import pytest

from benchmarks.page import (
    DAYS,
    RUNNING,
    Reads,
    RecordedTables,
    Times,
    app_over,
    fill,
    measure_reads,
)
from tests.support.clock import utc_now

STRIP = ["GET timeline(PartitionKey='summary',RowKey='now')"]
READS = Reads(failed=2500, failed_reads=33, first_failed=100, first_failed_reads=31, summary=STRIP)


@pytest.mark.timeout(120)
async def test_lists_read_what_they_return() -> None:
    tables = RecordedTables()
    fill(tables, 3000, utc_now())
    assert len(tables.tables["results"]) == 3000
    assert len(tables.tables["watches"]) == RUNNING
    async with app_over(tables) as url:
        reads = await measure_reads(url, tables)
    assert reads.failed == 180
    assert reads.failed_reads >= DAYS
    assert reads.problems() == []


def test_figures_beyond_their_bounds_are_named() -> None:
    assert READS.problems() == []
    assert "34 reads, at most 33" in replace(READS, failed_reads=34).problems()[0]
    assert "32 reads, at most 31" in replace(READS, first_failed_reads=32).problems()[0]
    assert "not one point read" in replace(READS, summary=[*STRIP, *STRIP]).problems()[0]
    assert Times(filled=[0.2, 0.89, 5.0], empty=[0.3, 0.3, 0.3]).problems() == []
    assert Times(filled=[0.2, 0.95, 5.0], empty=[0.3, 0.3, 0.3]).problems() != []
    assert Times(filled=[1.1, 1.1, 0.1], empty=[0.9, 0.9, 0.9]).problems() != []
