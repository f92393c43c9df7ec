from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from opswatch.local.simulator import Simulator
from tests.local.simulator.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def arm(clock: ManualClock) -> AsyncIterator[Simulator]:
    async with Simulator(seed=1, clock=clock, sleep=clock.sleep) as simulator:
        yield simulator


@pytest.fixture
async def anonymous() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def client(arm: Simulator) -> AsyncIterator[ClientSession]:
    token = arm.identity.issue("https://management.azure.com").text
    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield session
