"""Bounds the attempts under way at each host of callbacks, so that one that hangs delays few."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Line:
    room: asyncio.Semaphore
    users: int = 0  # those who wait too
    began: dict[object, float] = field(default_factory=dict)  # attempts under way, since when


class Turns:
    """Lets at most `most` attempts at a time through to each host.

    Where there is no room one waits for it, `patience` seconds at the longest, and not at all
    behind an attempt that has taken that long already: its host may hang, and whoever waits for it
    keeps a function from other work.
    """

    def __init__(
        self, most: int = 32, patience: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._patience = patience
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[bool]:
        """Enter with True when there is room, with False when there will be none soon."""
        line = self._lines.setdefault(host, _Line(asyncio.Semaphore(self._most)))
        line.users += 1
        try:
            if await self._enters(line):
                with self._under_way(line):
                    yield True
            else:
                yield False
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[host]

    async def _enters(self, line: _Line) -> bool:
        if line.room.locked() and self._is_slow(line):
            return False
        try:
            async with asyncio.timeout(self._patience):
                return await line.room.acquire()
        except TimeoutError:
            return False

    def _is_slow(self, line: _Line) -> bool:
        now = self._clock()
        return any(now - began > self._patience for began in line.began.values())

    @contextmanager
    def _under_way(self, line: _Line) -> Iterator[None]:
        ticket = object()
        line.began[ticket] = self._clock()
        try:
            yield
        finally:
            del line.began[ticket]
            line.room.release()
