"""Processes of tests and benchmarks: the app, Azurite, servers; each is ended by its id."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from opswatch.local.azurite import Azurite, running_azurite
from tests.support.trigger import ROOT

_DRAIN_TIMEOUT = 40.0  # seconds; a drain takes 30 at most
_READY = b"Listening on "


@asynccontextmanager
async def running_program(module: str, *arguments: str) -> AsyncIterator[tuple[int, list[int]]]:
    """Run a module that prints on which ports it serves; yield its pid and the ports.

    The cost of a server in a process apart is not measured with that of the client.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ports = [int(word) for word in (await process.stdout.readline()).split()]
    try:
        yield process.pid, ports
    finally:
        process.terminate()
        await process.wait()


class AppProcess:
    """`opswatch dev` in a process, until `async with` ends."""

    def __init__(self, env: Mapping[str, str], lease: float, log: Path) -> None:
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._arguments = ("dev", "--port", "0", "--app", str(ROOT), "--lease", str(lease))
        self._log = log
        self._log_start = 0  # bytes in the log before this process
        self._process: asyncio.subprocess.Process | None = None
        self.own_ends: list[int] = []  # codes of processes that ended without a signal of ours

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "opswatch.cli", *self._arguments),
                cwd=ROOT,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_up(self) -> bool:
        """Return whether the latest process listens."""
        return _READY in self._log.read_bytes()[self._log_start :]

    async def wait_until_up(self) -> None:
        while not self.is_up():
            assert self._process is None or self._process.returncode is None, self._log.read_text()
            await asyncio.sleep(0.05)

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
            self.own_ends.append(-number)  # it did not end: as wrong as an end without a signal
            self._process.kill()
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is not None:
            self.own_ends.append(self._process.returncode)
            return
        self._process.send_signal(number)


class StorageProcess:
    """Azurite over a folder, until `async with` ends; it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._ports: dict[str, int] | None = None
        self.azurite: Azurite

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        running = running_azurite(self._folder, self._ports)
        self.azurite = await asyncio.to_thread(self._running.enter_context, running)
        self._ports = self.azurite.ports

    async def stop(self) -> None:
        await asyncio.to_thread(self._running.close)

    def pause(self) -> None:
        os.kill(self.azurite.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.azurite.pid, signal.SIGCONT)
