"""The API over real parts, in one process: Azurite, a simulated ARM, a receiver, the local host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from aiohttp import ClientSession

from opswatch.local.azurite import Azurite, running_azurite
from opswatch.local.host import LocalHost
from opswatch.local.host.http import Keys
from opswatch.local.simulator import SCRIPTS, Simulator
from tests.support.endpoints import Endpoint
from tests.support.harness import SECRET, SUBSCRIPTION
from tests.support.trigger import ROOT

SEEDS = count(7)  # of simulators beside a shared emulator: else two have the same operations
# How an operation of each script ends, when it is watched as here.
ENDS = {
    "succeeded": "Succeeded",
    "failed": "Failed",
    "canceled": "Canceled",
    "never-ending": "TimedOut",
    "forbidden": "Lost",
}


@dataclass(frozen=True, slots=True)
class Api:
    """A running app and what it talks to."""

    url: str  # ends in /api
    arm: Simulator
    receiver: Endpoint
    storage: str = ""  # its connection string

    def start(self, script: str, seconds: float = 1) -> str:
        """Start an operation that ends as its script says; return its status URL."""
        scenario = SCRIPTS[script]
        if scenario.duration is not None:
            scenario = scenario.with_duration(timedelta(seconds=seconds))
        return self.arm.start(scenario).url

    async def post(self, operation: str, key: str | None = None, **more: object) -> int:
        """Post an operation over HTTP; return the status of the answer."""
        headers = {"x-functions-key": key} if key else {}
        body = {"operation": operation, **more}
        async with (
            ClientSession() as http,
            http.post(f"{self.url}/operations", json=body, headers=headers) as answer,
        ):
            return answer.status


@asynccontextmanager
async def running_api(
    azurite: Azurite | None = None, keys: Keys | None = None, port: int = 0
) -> AsyncIterator[Api]:
    """Run the app until the block ends.

    Each app has other operations: the emulator may be shared, and may still have those of an app
    before.
    """
    async with AsyncExitStack() as stack:
        if azurite is None:
            azurite = await asyncio.to_thread(stack.enter_context, running_azurite())
        arm = await stack.enter_async_context(Simulator(seed=next(SEEDS)))
        receiver = await stack.enter_async_context(Endpoint("hook", SECRET))
        env = {
            **arm.environment,
            **receiver.environment,
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION,
            "OPSWATCH_LOCATION": "westus",
            "OPSWATCH_POLL_MAX": "PT2S",
            "OPSWATCH_MISS_GRACE": "PT5S",
        }
        host = LocalHost(ROOT, env, port, drain=5, keys=keys)
        await stack.enter_async_context(host)
        await host.started()
        yield Api(f"{host.url}/api", arm, receiver, azurite.connection_string)
