"""One host that is dead, or hangs, beside one that is well: the former is left alone by and by."""

import pytest

from benchmarks.dead_host import measure
from opswatch.core.circuit import OPENS_AFTER

AT_ONCE = 32  # attempts at one host, in one process

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("beside", ["a host that refuses", "a host that hangs"])
async def test_who_does_not_answer_gets_few_connections_and_keeps_nobody_waiting(
    beside: str,
) -> None:
    figures = await measure(beside, crowd=500, live=50, seconds=0)
    assert figures.connections <= 2 * AT_ONCE + OPENS_AFTER
    assert len(figures.lags) == 50
    assert max(figures.lags) < 10  # an attempt that hangs takes 15 s
