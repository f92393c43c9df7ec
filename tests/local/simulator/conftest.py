from collections.abc import AsyncIterator

import pytest

from tests.local.simulator.harness import Harness, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def arm() -> AsyncIterator[Harness]:
    async with Harness() as harness:
        yield harness
