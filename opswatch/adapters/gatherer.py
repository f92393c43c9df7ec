"""What several pieces of work write at about the same time, gathered so that it goes together.

The pattern is that of River's batch completer, behind the same port as a single write.
https://github.com/riverqueue/river/blob/master/internal/jobcompleter/job_completer.go
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Generic, Self, TypeVar

K = TypeVar("K", bound=Hashable)
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
_Group = list[tuple[Item, asyncio.Future[Outcome]]]
# Seconds from the first item of a group, while other work is under way. ARM answers within some
# 50 to 300 ms, so less would let the polls of a message commit one by one.
DELAY = 0.2


class InFlight:
    """How many pieces of work are under way in this process, and how many of them wait to write.

    If all of them wait, nothing can join a group any more, and no group waits any longer.
    """

    def __init__(self) -> None:
        self._working = 0
        self._flushes: list[Callable[[], None]] = []
        self._is_flushing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> Self:
        """Return a context that runs its block as one piece of work; it may be entered again."""
        return self

    def __enter__(self) -> None:
        self._loop = self._loop or asyncio.get_running_loop()
        self._working += 1

    def __exit__(self, *_: object) -> None:
        self._stop_working()

    def pause(self) -> None:
        """Count a piece of work as waiting for a group to be written, until it resumes."""
        self._stop_working()

    def resume(self) -> None:
        """Count a piece of work as working again."""
        self._working += 1

    def on_idle(self, flush: Callable[[], None]) -> None:
        """Call `flush` whenever all work waits."""
        self._flushes.append(flush)

    def _stop_working(self) -> None:
        self._working -= 1
        if self._working <= 0 and not self._is_flushing:
            # Not at once: other work may be ready to run, and write as well.
            self._is_flushing = True
            self._loop = self._loop or asyncio.get_running_loop()
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._working <= 0:
            for flush in self._flushes:
                flush()


class Gatherer(Generic[K, Item, Outcome]):
    """Gathers items of one key for 200 ms, or until all work waits or the group is full."""

    def __init__(
        self,
        in_flight: InFlight,
        write: Callable[[K, list[Item]], Awaitable[list[Outcome | Exception]]],
        most: int,
    ) -> None:
        self._in_flight = in_flight
        self._write = write
        self._most = most
        self._groups: dict[
            K, tuple[asyncio.TimerHandle, list[tuple[Item, asyncio.Future[Outcome]]]]
        ]
        self._groups = {}
        self._writing: set[asyncio.Task[None]] = set()  # referenced, or they could be collected
        in_flight.on_idle(self._flush_all)

    async def submit(self, key: K, item: Item) -> Outcome:
        """Write `item` with others of `key`; return or raise what became of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if key not in self._groups:
            self._groups[key] = (loop.call_later(DELAY, self._flush, key), [])
        group = self._groups[key][1]
        group.append((item, future))
        if len(group) >= self._most:
            self._flush(key)
        self._in_flight.pause()
        try:
            return await future
        finally:
            self._in_flight.resume()

    def _flush_all(self) -> None:
        for key in list(self._groups):
            self._flush(key)

    def _flush(self, key: K) -> None:
        timer, group = self._groups.pop(key)
        timer.cancel()
        # A group belongs to the span of none of its items.
        task = asyncio.get_running_loop().create_task(self._run(key, group), context=Context())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _run(self, key: K, group: _Group[Item, Outcome]) -> None:
        outcomes: list[Outcome | Exception]
        try:
            outcomes = await self._write(key, [item for item, _ in group])
        except Exception as error:
            outcomes = [error] * len(group)
        except BaseException:  # cancelled: so is what waits for it
            for _, future in group:
                future.cancel()
            raise
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if future.done():  # the work was cancelled
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
