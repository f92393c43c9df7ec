"""The timer trigger: schedules, and runs that never overlap."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from opswatch.local.host.ncrontab import Schedule, parse_ncrontab
from opswatch.local.host.settings import parse_timespan
from opswatch.local.host.shutdown import Shutdown

_MAX_PAUSE = 60.0  # seconds; then the clock is read again, because it may have been set


def parse_schedule(text: str) -> Schedule:
    """Read a schedule: an NCRONTAB expression, or a time span. In UTC.

    Raises:
        ValueError: it is not a schedule, or is never due.
    """
    if ":" not in text:
        return parse_ncrontab(text)
    span = parse_timespan(text)
    if not span:
        raise ValueError(f"{text!r} is not longer than 0 seconds")
    return lambda after: after + span


class Timer:
    """Runs one function on its schedule.

    `useMonitor` has no effect: no state is kept between starts, so a run is never past due.
    """

    def __init__(
        self,
        schedule: Schedule,
        run: Callable[[], Awaitable[object]],
        shutdown: Shutdown,
        *,
        run_on_startup: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schedule = schedule
        self._run = run
        self._shutdown = shutdown
        self._run_on_startup = run_on_startup
        self._now = now
        self.has_started = asyncio.Event()  # set after the run on startup, if there is one

    async def run(self) -> None:
        """Run until shutdown; skip due times that pass during a run."""
        try:
            if self._run_on_startup and not self._shutdown.is_set():
                await self._run()
        finally:
            self.has_started.set()
        due_at = self._schedule(self._now())
        while not self._shutdown.is_set():
            remaining = due_at - self._now()
            if remaining > timedelta(0):
                await self._shutdown.pause(min(remaining.total_seconds(), _MAX_PAUSE))
                continue
            await self._run()
            due_at = self._schedule(max(due_at, self._now()))
