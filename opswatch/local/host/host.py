"""The local host: one function app from its start to its drain.

It stands in for `func start`: what runs, when, and what becomes of it is as the Functions host has
it, but all in this process. So one thing differs: when a function runs past functionTimeout,
everything in flight is given up and function_app.py is loaded afresh, but not what it imports.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from opswatch.local.host.app import MODULE, Function
from opswatch.local.host.connections import Connections
from opswatch.local.host.http import LOOPBACK, HttpServer
from opswatch.local.host.leases import LEASE
from opswatch.local.host.lifecycle import Stop
from opswatch.local.host.serving import Serving
from opswatch.local.host.settings import HostSettings, local_values
from opswatch.local.host.worker import FunctionTimeoutError, Worker

logger = logging.getLogger(__name__)

DRAIN: Final = 30.0  # seconds that what runs is given to end
_START: Final = 15.0  # seconds that what runs at the start is waited for


class LocalHost:
    """Runs the function app of a folder, from `async with` to its end.

    The app sees `env` over this process's environment over the values of local.settings.json; all
    of it, `sys.path` too, is put back at the end. So there is one host a process at a time.
    """

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        *,
        drain: float = DRAIN,
        lease: timedelta = LEASE,
    ) -> None:
        self._app_dir = app_dir.resolve()
        self._given_env = env or {}
        self._port = port
        self._drain_timeout = drain
        self._lease = lease
        self._stop = Stop()
        self._open = AsyncExitStack()
        self.functions: tuple[Function, ...] = ()
        self.route_prefix = ""

    async def __aenter__(self) -> Self:
        """Load the app, listen, and start; raise `ConfigError`, OSError, or what the app raises."""
        async with AsyncExitStack() as opening:
            opening.enter_context(_environment(local_values(self._app_dir), self._given_env))
            opening.enter_context(_importable(self._app_dir))
            self._server = HttpServer(self._drain_timeout)
            self._settings = HostSettings.load(self._app_dir, os.environ)
            connections = Connections(os.environ, self._lease)
            self._connections = await opening.enter_async_context(connections)
            self._serving = self._load()
            opening.push_async_callback(self._server.close)
            self._port = await self._server.start(self._port)
            self._running = asyncio.create_task(self._run())
            opening.push_async_callback(self._drain)
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop receiving, let what runs finish, and put everything back."""
        await self._open.aclose()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{LOOPBACK}:{self._port}"

    async def started(self) -> None:
        """Return when what runs at the start has run, or has had its time.

        Some apps make their queues and tables then: a message sent before would find none.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_START):
                await self._serving.started()

    async def run_until(self, stopped: asyncio.Event) -> None:
        """Return when `stopped` is set; raise what breaks the host before."""
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._running.done():
            self._running.result()

    def _load(self) -> Serving:
        worker = Worker.start(self._app_dir, os.environ, self._settings.function_timeout)
        self.functions = worker.functions
        self.route_prefix = self._settings.route_prefix
        return Serving(worker, self._settings, self._connections, self._server, self._stop)

    async def _run(self) -> None:
        while not await self._ends(self._serving):
            self._serving = self._load()

    async def _ends(self, serving: Serving) -> bool:
        """Serve, and return whether that came to its end; it did not if a function timed out."""
        try:
            await serving.run()
        except* FunctionTimeoutError:
            logger.warning("The worker was given up, with all that ran in it")
        return self._stop.is_set

    async def _drain(self) -> None:
        self._stop.set()
        await asyncio.wait({self._running}, timeout=self._drain_timeout)
        if not self._running.done():
            logger.warning("What still runs after %.0f s is given up", self._drain_timeout)
            self._running.cancel()
            await asyncio.wait({self._running})
        if not self._running.cancelled():
            self._running.result()


@contextmanager
def _environment(defaults: Mapping[str, str], given: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({**defaults, **before, **given})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _importable(app_dir: Path) -> Iterator[None]:
    sys.path.insert(0, str(app_dir))
    try:
        yield
    finally:
        sys.path.remove(str(app_dir))
        sys.modules.pop(MODULE, None)
