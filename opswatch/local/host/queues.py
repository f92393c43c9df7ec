"""The queue trigger: how the Functions host pumps a queue.

Rules and numbers are those of QueueListener and QueueProcessor in Azure/azure-sdk-for-net,
sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Common. One is not: there, a storage error
that is not the service's own stops the host; here it is logged, and the pump goes on.
"""

import asyncio
import base64
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from itertools import repeat
from typing import Final

from azure.core.exceptions import AzureError

from opswatch.local.host.leases import Lease, LeasedQueue
from opswatch.local.host.lifecycle import Stop
from opswatch.local.host.settings import QueueSettings

logger = logging.getLogger(__name__)

_RENEW_AGAIN_AFTER: Final = 60.0  # where a renewal failed
_FIRST_DELAY: Final = 0.1
_SPREAD: Final = 0.2

Run = Callable[[Lease, str], Awaitable[bool]]  # with the body; whether the function succeeded
Sleep = Callable[[float], Awaitable[None]]


def idle_delays(
    longest: timedelta, spread: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Yield the seconds between receives that find nothing: 0.1, about 0.2, 0.3, 0.5, 0.9, ….

    RandomizedExponentialBackoffStrategy; once `longest` is reached, it stays.
    """
    most, delay, step = longest.total_seconds(), _FIRST_DELAY, _FIRST_DELAY
    while delay < most:
        yield delay
        delay = _FIRST_DELAY + spread(1 - _SPREAD, 1 + _SPREAD) * step
        step *= 2
    yield from repeat(most)


class QueueListener:
    """Pumps one queue into one function."""

    def __init__(
        self,
        queue: LeasedQueue,
        settings: QueueSettings,
        run: Run,
        stop: Stop,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._run = run
        self._stop = stop
        self._sleep = sleep
        self._in_flight = 0
        self._has_room = asyncio.Event()

    async def run(self) -> None:
        """Pump until `stop`, then wait for what runs.

        Cancelled, or when `run` raises, it abandons what runs: unsettled, it comes back later.
        """
        async with asyncio.TaskGroup() as running:
            delays = self._delays()
            while not self._stop.is_set:
                leases = await self._receive()
                for lease in leases:
                    self._start(lease, running)
                if leases:
                    delays = self._delays()
                    await self._has_room.wait()
                else:
                    await self._stop.pause(next(delays))

    def _delays(self) -> Iterator[float]:
        return idle_delays(self._settings.max_polling_interval)

    async def _receive(self) -> list[Lease]:
        try:
            return await self._queue.receive(self._settings.batch_size)
        except AzureError as error:
            logger.warning("queue %s: cannot receive: %s", self._queue.name, _first_line(error))
            return []

    def _start(self, lease: Lease, running: asyncio.TaskGroup) -> None:
        running.create_task(self._process(lease)).add_done_callback(self._finished)
        self._count(1)

    def _finished(self, _: asyncio.Task[None]) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        self._in_flight += change
        if self._in_flight <= self._settings.new_batch_threshold:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _process(self, lease: Lease) -> None:
        body = self._decode(lease.text)
        if body is None or lease.dequeue_count > self._settings.max_dequeue_count:
            await self._queue.poison(lease)
            return
        renewal = asyncio.create_task(self._renew(lease))
        try:
            succeeded = await self._run(lease, body)
        finally:
            await _end(renewal, lease)
        await self._settle(lease, succeeded=succeeded)

    async def _settle(self, lease: Lease, *, succeeded: bool) -> None:
        if succeeded:
            await self._queue.delete(lease)
        elif lease.dequeue_count >= self._settings.max_dequeue_count:
            await self._queue.poison(lease)
        else:
            await self._queue.release(lease, self._settings.visibility_timeout)

    async def _renew(self, lease: Lease) -> None:
        delay = renew_after = self._queue.lease.total_seconds() / 2
        while True:
            await self._sleep(delay)
            try:
                await self._queue.renew(lease)
                delay = renew_after
            except AzureError as error:
                logger.warning("message %s: not renewed: %s", lease.message_id, _first_line(error))
                delay = _RENEW_AGAIN_AFTER

    def _decode(self, text: str) -> str | None:
        """Return the body; None where the text is not the base64 of UTF-8 that it should be."""
        if not self._settings.base64:
            return text
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode()
        except ValueError:
            return None


async def _end(renewal: asyncio.Task[None], lease: Lease) -> None:
    """End the renewals, but never one that is under way: its answer holds the new pop receipt."""
    async with lease.changing:
        renewal.cancel()


def _first_line(error: AzureError) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
