"""What is tormented: processes of the app, and the storage emulator; each ends by its own id."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from opswatch.local.azurite import Azurite, running_azurite
from opswatch.local.demo.app import ROOT

_DRAIN_TIMEOUT = 40.0  # seconds; a drain takes 30 at the most
_READY = b"Listening on "


class App:
    """`opswatch dev` in a process of its own."""

    def __init__(self, env: Mapping[str, str], lease: float, log: Path) -> None:
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._words = ("dev", "--port", "0", "--app", str(ROOT), "--lease", str(lease))
        self._log = log
        self._said = 0  # bytes in the log before this process's
        self._process: asyncio.subprocess.Process | None = None
        self.own_ends: list[int] = []  # codes of processes that nobody had told to end

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._said = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "opswatch.cli", *self._words),
                cwd=ROOT,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_up(self) -> bool:
        """Tell whether the app that was started last has come so far as to listen."""
        return _READY in self._log.read_bytes()[self._said :]

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def drain(self) -> None:
        await self._end(signal.SIGTERM)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self.own_ends.append(-number)  # it did not end: as wrong as one that ends by itself
            self._process.kill()
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is not None:
            self.own_ends.append(self._process.returncode)
            return
        self._process.send_signal(number)


class Fleet:
    """The apps, from `async with` to its end, at which all are killed."""

    def __init__(self, apps: list[App]) -> None:
        self.apps = apps
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for app in self.apps:
            await app.start()
            self._running.push_async_callback(app.kill)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._running.aclose()

    async def up(self) -> None:
        """Return when all are up."""
        while not all(app.is_up() for app in self.apps):
            await asyncio.sleep(0.05)

    @property
    def own_ends(self) -> list[int]:
        return [code for app in self.apps for code in app.own_ends]


class Storage:
    """Azurite over a folder, from `async with` to its end: it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.azurite: Azurite

    async def __aenter__(self) -> Self:
        self.azurite = await self._started(None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        await asyncio.to_thread(self._running.close)

    async def start(self) -> None:
        self.azurite = await self._started(self.azurite.ports)

    def pause(self) -> None:
        os.kill(self.azurite.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.azurite.pid, signal.SIGCONT)

    async def _started(self, ports: dict[str, int] | None) -> Azurite:
        running = running_azurite(self._folder, ports)
        return await asyncio.to_thread(self._running.enter_context, running)
