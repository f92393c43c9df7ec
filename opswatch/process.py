"""The services of a worker process: shared by all functions, opened when the first of them runs."""

import asyncio
import os
from collections.abc import Mapping

from opswatch.ports import Services


class Process:
    """Opens the services at their first use, and imports the adapters no sooner.

    So a worker reports its functions to the host quickly: see docs/performance.md. A separate task
    keeps the services open, and closes them when the event loop ends and cancels what runs.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self._opened: asyncio.Future[Services] | None = None
        self._keeping: asyncio.Task[None]  # referenced, or it could be garbage collected

    async def services(self) -> Services:
        """Return the services; after an opening that failed the next caller tries again."""
        if self._opened is None or (self._opened.done() and self._opened.exception()):
            self._opened = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep_open(self._opened))
        return await asyncio.shield(self._opened)

    async def _keep_open(self, opened: asyncio.Future[Services]) -> None:
        from opswatch.bootstrap import open_services  # noqa: PLC0415 - aiohttp and the adapters

        try:
            async with open_services(self._env, create=True) as services:
                opened.set_result(services)
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
