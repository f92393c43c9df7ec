"""Bounds the attempts under way at each host of callbacks, so that one that hangs delays few."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from opswatch.core.model import Crowded, Granted, Turn

_WAITING_AT_FIRST = 3  # for each that is let through, until an attempt has ended
_SHORTEST = 0.001  # seconds of an attempt


@dataclass(slots=True)
class _Line:
    room: asyncio.Semaphore
    most_waiting: float  # as many as get their turns in time, as far as is known
    moved_at: float  # when a turn was last given, or given back
    users: int = 0  # those who have a turn, and those who wait for one


class Turns:
    """Lets at most `most` attempts at a time through to each host.

    Where there is no room one waits for it, `patience` seconds at the longest, and not at all where
    that will not do, as far as the last attempt tells, or where no turn has been given for that
    long already: the host may hang, and whoever waits for it keeps a function from other work.
    """

    def __init__(
        self, most: int = 32, patience: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._patience = patience
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[Turn]:
        """Enter when `host` has room for one more attempt, or when it will have none soon."""
        line = self._lines.get(host) or self._formed(host)
        line.users += 1
        try:
            if self._is_worth_a_wait(line) and await self._enters(line):
                with self._under_way(line):
                    yield Granted()
            else:
                yield Crowded(standing=timedelta(seconds=self._clock() - line.moved_at))
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[host]

    def _formed(self, host: str) -> _Line:
        room = asyncio.Semaphore(self._most)
        line = self._lines[host] = _Line(room, _WAITING_AT_FIRST * self._most, self._clock())
        return line

    def _is_worth_a_wait(self, line: _Line) -> bool:
        if not line.room.locked():
            return True
        standing = self._clock() - line.moved_at
        return line.users <= self._most + line.most_waiting and standing <= self._patience

    async def _enters(self, line: _Line) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                return await line.room.acquire()
        except TimeoutError:
            return False

    @contextmanager
    def _under_way(self, line: _Line) -> Iterator[None]:
        began = line.moved_at = self._clock()
        try:
            yield
        finally:
            line.moved_at = self._clock()
            took = max(line.moved_at - began, _SHORTEST)
            line.most_waiting = self._most * self._patience / took
            line.room.release()
