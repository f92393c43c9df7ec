"""The services of a worker process: shared by all functions, opened when the first of them runs.

Here is also what happens to a message that cannot be handled: see `Process.handle`.
"""

import asyncio
import gc
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta

from opswatch.core.mistakes import Part, require
from opswatch.ports import Services
from opswatch.rows.messages import DELIVERIES_QUEUE, OPERATIONS_QUEUE
from opswatch.steps import events

_App = tuple[Services, Callable[[], Awaitable[None]]]  # and what creates the queues and tables
Step = Callable[[Services, bytes], Awaitable[None]]
_BETWEEN_CREATIONS = 5.0  # seconds, after a failed creation
_SHORTEST, _LONGEST = 15.0, 60.0  # seconds that a message is kept, and at random up to twice that
_CALM = 180.0  # seconds without a message to keep, after which the next one is kept shortly again
_BETWEEN_LINES = 60.0  # seconds between two log lines about messages that are kept


@dataclass(slots=True)
class _Kept:
    """What a process remembers of the messages of one queue that it could not handle."""

    first_at: float = 0.0
    last_at: float = field(default=-_CALM)
    logged_at: float = field(default=-_BETWEEN_LINES)
    count: int = 0  # since the last log line

    def next_delay(self, now: float) -> float:
        """Count a message; return for how long to keep it: longer the longer this has gone on."""
        if now - self.last_at >= _CALM:
            self.first_at = now
        self.last_at = now
        self.count += 1
        delay = min(max(_SHORTEST, (now - self.first_at) / 2), _LONGEST)
        return delay * (1 + random.random())  # noqa: S311 - no secret

    def take_count(self, now: float) -> int:
        """Return how many messages to log: none if there was a line within a minute."""
        if now - self.logged_at < _BETWEEN_LINES:
            return 0
        self.logged_at, count, self.count = now, self.count, 0
        return count


def _open(env: Mapping[str, str]) -> AbstractAsyncContextManager[_App]:
    from opswatch.bootstrap import open_app  # noqa: PLC0415 - aiohttp and the adapters
    from opswatch.config import Settings  # noqa: PLC0415 - as the adapters

    freeze_imports()
    return open_app(Settings.read(env), env)


def freeze_imports() -> None:
    """Let the garbage collector pass over what is imported, which lives as long as the process.

    To go through some 65,000 such objects again and again took 5 % of the CPU of a poll. It is done
    once: what is garbage when the services are opened again may still be collected.
    """
    if not gc.get_freeze_count():
        gc.freeze()


class Process:
    """Opens the services at their first use, and imports the adapters no sooner.

    So a worker reports its functions to the host quickly: see docs/performance.md. A separate task
    keeps the services open, and closes them when the event loop ends and cancels what runs.
    """

    def __init__(
        self,
        env: Mapping[str, str] = os.environ,
        *,
        opening: Callable[[Mapping[str, str]], AbstractAsyncContextManager[_App]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._env = env
        self._opening = opening or _open
        self._clock = clock
        self._opened: asyncio.Future[_App] | None = None
        self._keeping: asyncio.Task[None]  # referenced, or it could be garbage collected
        self._created: asyncio.Future[None] | None = None
        self._create_again_at = 0.0
        self._kept: dict[str, _Kept] = {}

    async def services(self) -> Services:
        """Return the services, and create what is missing in the storage.

        Raise `ConfigError` if the settings of the storage are wrong; other mistakes are in
        `Services.mistakes`. After a failure a later caller tries again.
        """
        services, create = await self._app()
        require(services.mistakes, Part.STORAGE)
        created, now = self._created, self._clock()
        has_failed = created is not None and created.done() and created.exception() is not None
        if created is None or (has_failed and now >= self._create_again_at):
            self._create_again_at = now + _BETWEEN_CREATIONS
            created = self._created = asyncio.ensure_future(create())
        await asyncio.shield(created)
        return services

    async def handle(self, queue: str, step: Step, body: bytes) -> None:
        """Run `step` on a message of `queue`; keep the message if it cannot be handled now.

        The host gives a message up after five failures in a row, 50 s. If a wrong setting or an
        outage is the cause, the same text is sent to the queue again, to become visible later and
        never to expire, and the host removes the old message. If it cannot be sent, the host gets
        the error.

        1. A crash between the two leaves two messages: the fence drops the second one of a wake-up,
           and posting is idempotent.
        2. The new message has no count of tries; nothing needs one.
        """
        try:
            await step(await self.services(), body)
        except Exception as error:
            if not await self._keep(queue, body, error):
                raise

    async def _keep(self, queue: str, body: bytes, error: Exception) -> bool:
        """Send a message to its own queue again if `error` may pass; return whether it was sent."""
        from opswatch.adapters.failures import may_pass  # noqa: PLC0415 - as the adapters

        if not may_pass(error):
            return False
        now = self._clock()
        kept = self._kept.setdefault(queue, _Kept())
        delay = kept.next_delay(now)
        try:
            services, _ = await self._app()
            queues = {OPERATIONS_QUEUE: services.operations, DELIVERIES_QUEUE: services.deliveries}
            await queues[queue].send(body, timedelta(seconds=delay))
        except Exception as failure:
            if not may_pass(failure):
                raise
            return False
        if count := kept.take_count(now):
            events.record_kept(queue, count, round(delay), error)
        return True

    async def _app(self) -> _App:
        """Return what is open, or open it; after a failure the next caller tries again."""
        if self._opened is None or (self._opened.done() and self._opened.exception()):
            self._opened = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep_open(self._opened))
        return await asyncio.shield(self._opened)

    async def _keep_open(self, opened: asyncio.Future[_App]) -> None:
        try:
            async with self._opening(self._env) as app:
                for mistake in app[0].mistakes:
                    events.record_mistake(mistake)
                opened.set_result(app)
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
