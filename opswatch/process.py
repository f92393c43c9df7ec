"""The world of a worker process: what all functions share, opened when the first of them runs."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from opswatch.ports import World


class Process:
    """Opens the world at its first use, and no sooner imports what it is made of.

    So a worker tells the host at once which functions there are: see docs/performance.md.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self._context: AbstractAsyncContextManager[World]  # kept: without it, the world closes
        self._opening: asyncio.Task[World] | None = None

    async def world(self) -> World:
        """Return the process's world; an opening that failed is tried again by the next caller."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> World:
        from opswatch.bootstrap import open_world  # noqa: PLC0415 - aiohttp and the adapters

        self._context = open_world(self._env)
        return await self._context.__aenter__()  # closed with the event loop
