"""Servers in processes of their own, so that what they cost is not taken for what is measured."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def program(module: str, *arguments: str) -> AsyncIterator[tuple[int, list[int]]]:
    """Run a module that says on which ports it serves, to the block's end; yield pid and ports."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101 - a pipe
    ports = [int(word) for word in (await process.stdout.readline()).split()]
    try:
        yield process.pid, ports
    finally:
        process.terminate()
        await process.wait()
