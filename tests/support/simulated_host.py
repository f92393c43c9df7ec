"""The Functions host in simulated time: retries, poison queues and the timer, over fakes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from opswatch.ports import Sent, Services
from opswatch.process import Process, Step
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.repair import repair
from opswatch.testing import MemoryPoisonQueue, MemoryQueue, Message
from tests.support.harness import Harness

MOST_DELIVERIES, RETRY_DELAY = 5, timedelta(seconds=10)  # host.json's
STEPS: dict[str, Step] = {"operations": operations_message, "deliveries": deliveries_message}


class SimulatedHost:
    """The Functions host's rules for queues, and its timer, over fakes and in simulated time."""

    def __init__(self, harness: Harness, *, repairs: bool = True) -> None:
        self.harness, self.repairs = harness, repairs
        self.queues = {"operations": harness.operations, "deliveries": harness.deliveries}
        self.poison: list[bytes] = []  # all that has ever been given up
        self.runs = 0  # of functions, but for the timer's
        self.failed_repairs = 0

    async def run(self, services: Services, span: timedelta) -> None:
        """Run the app, started with `services`, for `span`."""

        @asynccontextmanager
        async def opening(_: Mapping[str, str]) -> AsyncIterator[tuple[Services, Any]]:
            async def create() -> None: ...

            yield services, create

        process = Process({}, opening=opening, clock=self._seconds)
        until = self.harness.now + span
        minute = self.harness.now
        while self.harness.now <= until:
            if self.harness.now >= minute:
                minute += timedelta(minutes=1)
                await self._repair(process)
            for name, queue in self.queues.items():
                received = queue.receive()
                await asyncio.gather(*(self._handle(process, name, queue, m) for m in received))
            messages = [m for queue in self.queues.values() for m in queue.messages.values()]
            next_at = min([minute, *(message.visible_at for message in messages)])
            self.harness.now = max(self.harness.now, next_at)

    async def _handle(
        self, process: Process, name: str, queue: MemoryQueue, message: Message
    ) -> None:
        self.runs += 1
        sent = Sent(message.message_id, message.receipt)
        try:
            await process.handle(name, STEPS[name], message.body)
        except Exception:
            if message.dequeue_count < MOST_DELIVERIES:
                queue.release(sent, RETRY_DELAY)
                return
            self.poison.append(message.body)
            poison = self.harness.services.poison[[*self.queues].index(name)]
            assert isinstance(poison, MemoryPoisonQueue)
            poison.queue.post(message.body)
        queue.delete(sent)

    def _seconds(self) -> float:
        return self.harness.now.timestamp()

    async def _repair(self, process: Process) -> None:
        if self.repairs:
            self.failed_repairs += 1
            with suppress(Exception):  # the host tries again a minute later
                await repair(await process.services())
                self.failed_repairs -= 1
