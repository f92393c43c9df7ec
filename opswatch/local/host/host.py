"""The local host: runs one function app from its start until it has drained.

It replaces `func start`, and triggers and settles as the Functions host does, but in one process.
So one thing differs: if a function runs longer than functionTimeout, all running functions are
cancelled and function_app.py is imported again, but not the modules that it imports.
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
from opswatch.local.host.dispatcher import Dispatcher
from opswatch.local.host.http import HttpServer, Keys
from opswatch.local.host.leases import LEASE
from opswatch.local.host.settings import HostSettings, local_values
from opswatch.local.host.shutdown import Shutdown
from opswatch.local.host.worker import FunctionTimeoutError, Worker
from opswatch.local.ports import LOOPBACK

logger = logging.getLogger(__name__)

DRAIN: Final = 30.0  # seconds that running functions have to end after shutdown
_START: Final = 15.0  # seconds to wait for the timers that run on startup


class LocalHost:
    """Runs the function app of a folder while its `async with` block runs.

    The app's environment is `env`, then this process's environment, then the values of
    local.settings.json. The environment and `sys.path` are restored at the end, so a process can
    run one host at a time.
    """

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        *,
        drain: float = DRAIN,
        lease: timedelta = LEASE,
        keys: Keys | None = None,
    ) -> None:
        self._app_dir = app_dir.resolve()
        self._given_env = env or {}
        self._port = port
        self._drain_timeout = drain
        self._lease = lease
        self._keys = keys
        self._shutdown = Shutdown()
        self._open = AsyncExitStack()
        self.functions: tuple[Function, ...] = ()
        self.route_prefix = ""

    async def __aenter__(self) -> Self:
        """Load the app and start it; raise `ConfigError`, `AppImportError` or `PortError`."""
        async with AsyncExitStack() as opening:
            opening.enter_context(_app_environment(self._app_dir, self._given_env))
            self._server = HttpServer(self._drain_timeout, self._keys)
            self._settings = HostSettings.load(self._app_dir, os.environ)
            connections = Connections(os.environ, self._lease)
            self._connections = await opening.enter_async_context(connections)
            self._dispatcher = self._load()
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
        """Shut down, wait for the running functions, and restore the environment."""
        await self._open.aclose()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://{LOOPBACK}:{self._port}"

    async def started(self) -> None:
        """Return after the timers with run_on_startup have run, or after 15 s.

        Some apps create their queues and tables then; sending a message earlier would fail.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_START):
                await self._dispatcher.started()

    async def run_until(self, stopped: asyncio.Event) -> None:
        """Return when `stopped` is set; raise the error if the host fails before."""
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._running.done():
            self._running.result()

    def _load(self) -> Dispatcher:
        worker = Worker.start(self._app_dir, os.environ, self._settings.function_timeout)
        self.functions = worker.functions
        self.route_prefix = self._settings.route_prefix
        return Dispatcher(worker, self._settings, self._connections, self._server, self._shutdown)

    async def _run(self) -> None:
        while True:
            try:
                await self._dispatcher.run()
            except* FunctionTimeoutError:
                logger.warning("The worker and all its running functions are abandoned")
            if self._shutdown.is_set():
                return
            self._dispatcher = self._load()

    async def _drain(self) -> None:
        self._shutdown.set()
        await asyncio.wait({self._running}, timeout=self._drain_timeout)
        if not self._running.done():
            logger.warning("Functions still running after %.0f s: abandoned", self._drain_timeout)
            self._running.cancel()
            await asyncio.wait({self._running})
        if not self._running.cancelled():
            self._running.result()


@contextmanager
def _app_environment(app_dir: Path, given: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables and `sys.path` for the app, and restore them at the end."""
    before = dict(os.environ)
    os.environ.update({**local_values(app_dir), **before, **given})
    sys.path.insert(0, str(app_dir))
    try:
        yield
    finally:
        sys.path.remove(str(app_dir))
        sys.modules.pop(MODULE, None)
        os.environ.clear()
        os.environ.update(before)
