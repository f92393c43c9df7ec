"""One host that is dead, or hangs, beside one that is well: the former is left alone by and by."""

import pytest

from benchmarks.dead_host import HANGS, REFUSES, measure
from benchmarks.house import open_house
from opswatch.core.hosts import OPENS_AFTER

AT_ONCE = 32  # attempts at one host, in one process
LIVE = 50

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("beside", [REFUSES, HANGS])
async def test_who_does_not_answer_gets_few_connections_and_keeps_nobody_waiting(
    beside: str,
) -> None:
    async with open_house() as house:
        figures = await measure(house, beside, crowd=500, live=LIVE, seconds=0)
    assert len(figures.lags) == LIVE
    assert max(figures.lags) < 10  # an attempt that hangs takes 15 s
    assert house.connections - LIVE <= 2 * AT_ONCE + OPENS_AFTER
