"""The local host's queue trigger over one queue, in real or in simulated time.

What tests and benchmarks use of `opswatch.local.host` is here, but for the host itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from opswatch.config import STORAGE
from opswatch.local.host.connections import Connections
from opswatch.local.host.leases import LEASE, Lease, LeasedQueue
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import HostSettings
from opswatch.local.host.shutdown import Shutdown
from opswatch.ports import Sent
from opswatch.testing import MemoryQueue
from tests.support.clock import SimulatedClock

ROOT = Path(__file__).parents[2]
Step = Callable[[bytes], Awaitable[None]]
Jump = Callable[[datetime], Awaitable[datetime]]
_MINUTE = timedelta(minutes=1)


class Trigger:
    """Runs a step for each message of a queue, as the Functions host does."""

    def __init__(self, queue: LeasedQueue, step: Step) -> None:
        self._queue, self._step = queue, step
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def pump(self, shutdown: Shutdown) -> None:
        """Run steps until `shutdown`; an error of a step is raised."""
        settings = HostSettings.load(ROOT, {}).queues
        await QueueListener(self._queue, settings, self._run, shutdown).run()

    async def pump_while(self, waiting: Awaitable[object]) -> None:
        """Run steps until `waiting` returns, and let those that run end."""
        shutdown = Shutdown()
        async with asyncio.TaskGroup() as running:
            running.create_task(self.pump(shutdown))
            await waiting
            shutdown.set()

    async def idle(self) -> None:
        """Return when no step runs."""
        await self._idle.wait()

    async def _run(self, _: Lease, body: str) -> bool:
        self._running += 1
        self._idle.clear()
        try:
            await self._step(body.encode())
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        return True


@asynccontextmanager
async def storage_queue(env: Mapping[str, str], name: str) -> AsyncIterator[LeasedQueue]:
    """Yield a queue of the storage account that `env` configures, for a trigger."""
    async with Connections(env) as connections:
        yield connections.queue(name, STORAGE)


class MemoryLeasedQueue(LeasedQueue):
    """A queue in memory, for a trigger."""

    def __init__(self, name: str, queue: MemoryQueue, latency: float) -> None:
        self.name, self.lease = name, LEASE
        self._memory, self._latency = queue, latency

    async def receive(self, most: int) -> list[Lease]:
        await asyncio.sleep(self._latency)
        return [
            Lease(
                message_id=message.message_id,
                pop_receipt=message.receipt,
                text=message.body.decode(),
                dequeue_count=message.dequeue_count,
                times={},
            )
            for message in self._memory.receive(LEASE, most)
        ]

    async def delete(self, lease: Lease) -> None:
        await asyncio.sleep(self._latency)
        self._memory.delete(Sent(lease.message_id, lease.pop_receipt))

    async def release(self, lease: Lease, delay: timedelta) -> None:
        self._memory.release(Sent(lease.message_id, lease.pop_receipt), delay)

    async def poison(self, lease: Lease) -> None:
        await self.delete(lease)

    async def renew(self, lease: Lease) -> None: ...


class _SimulatedPauses(Shutdown):
    """Pauses that take no time: the clock jumps to the next message or minute.

    It moves if no step runs and no message is visible, so each step sees a single instant.
    """

    def __init__(
        self,
        trigger: Trigger,
        jump: Jump,
        clock: SimulatedClock,
        span: timedelta,
        each_minute: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._trigger, self._jump, self._clock = trigger, jump, clock
        self._until, self._minute_at = clock.now + span, clock.now + _MINUTE
        self._each_minute = each_minute

    async def pause(self, seconds: float) -> None:  # noqa: ARG002 - the clock decides
        await self._trigger.idle()
        if self._clock.now >= self._until:
            self.set()
            return
        self._clock.now = await self._jump(min(self._minute_at, self._until))
        if self._clock.now == self._minute_at:
            self._minute_at += _MINUTE
            await self._each_minute()


async def simulate(
    trigger: Trigger,
    jump: Jump,
    clock: SimulatedClock,
    span: timedelta,
    each_minute: Callable[[], Awaitable[None]],
) -> None:
    """Pump for `span` of simulated time, the last instant included.

    `jump` moves the storage's clock to the next visible message, at most to the instant that it
    gets, and returns its time.
    """
    await trigger.pump(_SimulatedPauses(trigger, jump, clock, span, each_minute))
