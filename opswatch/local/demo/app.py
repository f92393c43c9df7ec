"""The app as the demo runs it: `opswatch dev` in a process of its own."""

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from opswatch.core.errors import OpswatchError

ROOT = Path(__file__).parents[3]
_READY = "Listening on "
_START_TIMEOUT = 60.0  # seconds
_STOP_TIMEOUT = 35.0  # a drain takes 30 at the most
_KEPT_LINES = 60


class AppError(OpswatchError):
    """The app did not start; the message holds what it last said."""


@asynccontextmanager
async def running_app(env: Mapping[str, str]) -> AsyncIterator[str]:
    """Yield the app's URL while it runs under `env`; drain it when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "opswatch.cli", "dev", "--port", "0", "--app", str(ROOT)),
        env={**os.environ, **env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        limit=2**20,
    )
    assert process.stdout is not None  # noqa: S101 - it was asked for
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            url = await _until_ready(process.stdout, said)
        reading = asyncio.create_task(_keep_reading(process.stdout, said))
        yield url
    finally:
        await _stop(process)
        if reading is not None:
            await reading


async def _until_ready(output: asyncio.StreamReader, said: deque[str]) -> str:
    while line := (await output.readline()).decode(errors="replace"):
        said.append(line)
        if line.startswith(_READY):
            return line.removeprefix(_READY).strip()
    raise AppError("The app ended before it listened:\n" + "".join(said))


async def _keep_reading(output: asyncio.StreamReader, said: deque[str]) -> None:
    while line := await output.readline():
        said.append(line.decode(errors="replace"))


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
