"""The world of a worker process: what all functions share, opened when the first of them runs."""

import asyncio
import os
from collections.abc import Mapping

from opswatch.ports import World


class Process:
    """Opens the world at its first use, and no sooner imports what it is made of.

    So a worker tells the host at once which functions there are: see docs/performance.md. A task of
    its own keeps the world open, and closes it when the event loop ends and cancels what runs.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self._opened: asyncio.Future[World] | None = None
        self._keeping: asyncio.Task[None]  # referred to, or it might be collected

    async def world(self) -> World:
        """Return the process's world; an opening that failed is tried again by the next caller."""
        if self._opened is None or (self._opened.done() and self._opened.exception()):
            self._opened = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep(self._opened))
        return await asyncio.shield(self._opened)

    async def _keep(self, opened: asyncio.Future[World]) -> None:
        from opswatch.bootstrap import open_world  # noqa: PLC0415 - aiohttp and the adapters

        try:
            async with open_world(self._env) as world:
                opened.set_result(world)
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
