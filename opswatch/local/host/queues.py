"""The queue trigger: receives messages as the Functions host does, and runs a function for each.

Rules and numbers are from QueueListener and QueueProcessor in Azure/azure-sdk-for-net,
sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Common. With one exception: there, an error
that does not come from the storage service stops the host; here it is logged.
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
from opswatch.local.host.settings import QueueSettings
from opswatch.local.host.shutdown import Shutdown

logger = logging.getLogger(__name__)

_RENEWAL_RETRY: Final = 60.0  # seconds, after a renewal failed
_FIRST_DELAY: Final = 0.1
_SPREAD: Final = 0.2
_NO_SPACE: Final = dict.fromkeys(map(ord, " \t\r\n"))  # which .NET allows within base64

Run = Callable[[Lease, str], Awaitable[bool]]  # with the body; True if the function succeeded
Sleep = Callable[[float], Awaitable[None]]


def idle_delays(
    longest: timedelta, spread: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Yield the seconds between receives without messages: 0.1, about 0.2, 0.3, 0.5, 0.9, ….

    RandomizedExponentialBackoffStrategy: after `longest` is reached, it no longer changes.
    """
    most, delay, step = longest.total_seconds(), _FIRST_DELAY, _FIRST_DELAY
    while delay < most:
        yield delay
        delay = _FIRST_DELAY + spread(1 - _SPREAD, 1 + _SPREAD) * step
        step *= 2
    yield from repeat(most)


class QueueListener:
    """Receives the messages of one queue and runs one function for each."""

    def __init__(
        self,
        queue: LeasedQueue,
        settings: QueueSettings,
        run: Run,
        shutdown: Shutdown,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._run = run
        self._shutdown = shutdown
        self._sleep = sleep
        self._in_flight = 0
        self._has_room = asyncio.Event()

    async def run(self) -> None:
        """Receive until shutdown, then wait for the running functions.

        If it is cancelled, or if `run` raises, the running functions are cancelled too. Their
        messages are not settled and become visible when their lease ends.
        """
        longest = self._settings.max_polling_interval
        delays = idle_delays(longest)
        async with asyncio.TaskGroup() as running:
            while not self._shutdown.is_set():
                try:
                    leases = await self._queue.receive(self._settings.batch_size)
                except AzureError as error:
                    reason = _first_line(error)
                    logger.warning("queue %s: cannot receive: %s", self._queue.name, reason)
                    leases = []
                for lease in leases:
                    self._count(1)
                    task = running.create_task(self._process(lease))
                    task.add_done_callback(lambda _: self._count(-1))
                if leases:
                    delays = idle_delays(longest)
                    await self._has_room.wait()
                else:
                    await self._shutdown.pause(next(delays))

    def _count(self, change: int) -> None:
        self._in_flight += change
        if self._in_flight <= self._settings.new_batch_threshold:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _process(self, lease: Lease) -> None:
        most = self._settings.max_dequeue_count
        body = self._decode(lease.text)
        if body is None or lease.dequeue_count > most:
            await self._queue.poison(lease)
            return
        try:
            text = body.decode()
        except UnicodeDecodeError as error:  # the host cannot bind it, so the invocation fails
            logger.warning("message %s: not run: %s", lease.message_id, error)
            succeeded = False
        else:
            renewal = asyncio.create_task(self._renew(lease))
            try:
                succeeded = await self._run(lease, text)
            finally:
                async with lease.changing:  # a renewal under way returns the new pop receipt
                    renewal.cancel()
        if succeeded:
            await self._queue.delete(lease)
        elif lease.dequeue_count >= most:
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
                delay = _RENEWAL_RETRY

    def _decode(self, text: str) -> bytes | None:
        """Return the body, or None if the text should be base64 and is not."""
        if not self._settings.base64:
            return text.encode()
        try:
            return base64.b64decode(text.translate(_NO_SPACE), validate=True)
        except ValueError:
            return None


def _first_line(error: AzureError) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
