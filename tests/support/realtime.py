"""The delivering half of the app in real time: real HTTP and a real trigger, storage in memory."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver

from opswatch.adapters.callbacks import HttpCallbacks, open_socket
from opswatch.core.policy import Policy
from opswatch.rows.messages import DELIVERIES_QUEUE
from opswatch.steps.messages import deliveries_message
from tests.support.builders import LOOPBACK
from tests.support.clock import utc_now
from tests.support.harness import Harness
from tests.support.trigger import MemoryLeasedQueue, Trigger

_LATENCY = 0.003  # seconds of each request to the storage


class RealTimeHarness(Harness):
    """A harness that counts its connections to receivers."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self.connections = 0
        self.http = HttpCallbacks(LOOPBACK, open_socket=self._open_socket, resolver=resolver)
        super().__init__(Policy(), clock=utc_now, callbacks=self.http, latency=_LATENCY)

    def _open_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        self.connections += 1
        return open_socket(address)


@asynccontextmanager
async def open_real_time_harness(
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[RealTimeHarness]:
    """Yield a harness whose deliveries are attempted while the block runs."""
    harness = RealTimeHarness(resolver)
    queue = MemoryLeasedQueue(DELIVERIES_QUEUE, harness.deliveries, _LATENCY)
    trigger = Trigger(queue, lambda body: deliveries_message(harness.services, body))
    pumping = asyncio.create_task(trigger.pump_while(asyncio.Event().wait()))
    try:
        yield harness
    finally:
        pumping.cancel()  # attempts at a receiver that hangs are abandoned
        await asyncio.wait({pumping})
        await harness.http.close()
