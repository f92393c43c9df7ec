"""Hosts that refuse or hang beside one that works, and names without an answer.

What `python -m benchmarks.dead_host` measures, with fewer deliveries.
"""

from statistics import median

import pytest

from benchmarks.dead_host import (
    DEAD_NAMES,
    FORTY_HANG,
    FOUR_HANG,
    HANGS,
    ONE_ADDRESS,
    REFUSES,
    Beside,
    Figures,
    in_memory,
    measure,
    open_in_memory,
)
from tests.support.realtime import open_real_time_harness

AT_ONCE = 32  # attempts at one host, in one process
LIVE = 50

pytestmark = pytest.mark.timeout(120)


def check_live_host(figures: Figures) -> None:
    """Check that nothing is counted against the live host, and that it is not delayed for long."""
    assert len(figures.lags) == LIVE
    assert figures.attempts == 1
    assert median(figures.lags) < 3
    assert max(figures.lags) < 10  # an attempt that hangs takes 15 s


@pytest.mark.parametrize("beside", [REFUSES, HANGS], ids=str)
async def test_dead_host_gets_few_connections_and_delays_no_other(beside: Beside) -> None:
    async with open_real_time_harness() as harness:
        figures = await measure(in_memory(harness), beside, crowd=500, live=LIVE, seconds=0)
    check_live_host(figures)
    # The circuit is written after the attempts that open it, while others begin.
    assert harness.connections - LIVE <= 4 * AT_ONCE


@pytest.mark.parametrize("beside", [FOUR_HANG, FORTY_HANG, ONE_ADDRESS, DEAD_NAMES], ids=str)
async def test_many_hosts_that_hang_delay_no_other(beside: Beside) -> None:
    async with open_in_memory() as subject:
        figures = await measure(
            subject, beside, crowd=500, live=LIVE, seconds=3, live_name="hook.live.example"
        )
    check_live_host(figures)
