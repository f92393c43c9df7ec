"""Runs the app for the demo: `opswatch dev` in a child process."""

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from opswatch.core.errors import OpswatchError
from opswatch.local.host.app import own_app

_READY = "Listening on "
_START_TIMEOUT = 60.0  # seconds
_STOP_TIMEOUT = 35.0  # draining takes up to 30
_KEPT_LINES = 60


class AppError(OpswatchError):
    """The app did not start; the message has its last output."""


@asynccontextmanager
async def running_app(env: Mapping[str, str], *arguments: str) -> AsyncIterator[str]:
    """Yield the app's URL while it runs under `env`; drain it when the block ends.

    `arguments` are further ones of `opswatch dev`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "opswatch.cli", "dev", "--port", "0", "--app", str(own_app()), *arguments),
        env={**os.environ, **env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        limit=2**20,
    )
    assert process.stdout is not None  # noqa: S101 - stdout is a pipe
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read_output(process.stdout, url))
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            await url
        yield url.result()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


async def _read_output(output: asyncio.StreamReader, url: asyncio.Future[str]) -> None:
    """Read until the app ends, so that its pipe never fills; set `url` when it listens."""
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    async for data in output:
        line = data.decode(errors="replace")
        lines.append(line)
        if line.startswith(_READY) and not url.done():
            url.set_result(line.removeprefix(_READY).strip())
    if not url.done():
        url.set_exception(AppError("The app ended before it listened:\n" + "".join(lines)))
