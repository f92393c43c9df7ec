"""The polling half of the app: its world over a storage, pumped as the Functions host pumps it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from opswatch.bootstrap import open_services
from opswatch.config import STORAGE
from opswatch.local.host.connections import Connections
from opswatch.local.host.leases import Lease, LeasedQueue
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import HostSettings
from opswatch.local.host.shutdown import Shutdown
from opswatch.ports import Arm, Services
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.steps.messages import operations_message

_ROOT = Path(__file__).parents[2]


class App:
    """A world, and the pump of the queue `operations`."""

    def __init__(self, services: Services, queue: LeasedQueue) -> None:
        self.services = services
        self._queue = queue
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def pump(self, stop: Shutdown) -> None:
        """Run a step for each message until `stop`; whatever a step raises is raised."""
        settings = HostSettings.load(_ROOT, {}).queues
        await QueueListener(self._queue, settings, self._run, stop).run()

    async def idle(self) -> None:
        """Return when no step runs."""
        await self._idle.wait()

    async def _run(self, _: Lease, body: str) -> bool:
        self._running += 1
        self._idle.clear()
        try:
            await operations_message(self.services, body.encode())
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        return True


@asynccontextmanager
async def open_app(
    connection_string: str, arm: Arm, clock: Callable[[], datetime]
) -> AsyncIterator[App]:
    """Yield the app over a storage; its queues and tables are made."""
    env = {STORAGE: connection_string}
    async with open_services(env, clock) as services, Connections(env) as connections:
        yield App(replace(services, arm=arm), connections.queue(OPERATIONS_QUEUE, STORAGE))
