"""When to stop: one flag that every listener looks at, and naps that it ends."""

import asyncio
from contextlib import suppress


class Stop:
    """Set once; from then on nothing new is begun."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ask everything to come to its end."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether the end has been asked for."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when the end has been asked for."""
        await self._event.wait()

    async def pause(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the end is asked for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
