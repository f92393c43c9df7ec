"""A host that refuses or hangs beside one that works: its circuit opens, and the other is served.

What `python -m benchmarks.dead_host` measures, with fewer deliveries.
"""

import pytest

from benchmarks.dead_host import HANGS, REFUSES, in_memory, measure
from opswatch.core.hosts import OPENS_AFTER
from tests.support.realtime import open_real_time_harness

AT_ONCE = 32  # attempts at one host, in one process
LIVE = 50

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("beside", [REFUSES, HANGS])
async def test_dead_host_gets_few_connections_and_delays_no_other(beside: str) -> None:
    async with open_real_time_harness() as harness:
        figures = await measure(in_memory(harness), beside, crowd=500, live=LIVE, seconds=0)
    assert len(figures.lags) == LIVE
    assert max(figures.lags) < 10  # an attempt that hangs takes 15 s
    assert harness.connections - LIVE <= 2 * AT_ONCE + OPENS_AFTER
