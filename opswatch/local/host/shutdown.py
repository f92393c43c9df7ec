"""Shutdown of the local host: an event that listeners check, and a pause that it ends."""

import asyncio
from contextlib import suppress


class Shutdown(asyncio.Event):
    """Set once; from then on no listener starts new work."""

    async def pause(self, seconds: float) -> None:
        """Sleep for `seconds`, or until shutdown."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
