"""The timer trigger: NCRONTAB expressions, and runs that never overlap."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from croniter import croniter

from opswatch.local.host.settings import parse_timespan
from opswatch.local.host.shutdown import Shutdown

Schedule = Callable[[datetime], datetime]  # the first due time after the given instant
_MAX_PAUSE = 60.0  # seconds; then the clock is read again, because it may have been set


def parse_schedule(text: str) -> Schedule:
    """Read a schedule: six NCRONTAB fields, five (without seconds), or a time span. In UTC.

    Unlike in cron, a day must match both day-of-month and day-of-week.
    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions

    Raises:
        ValueError: it is not a schedule, or is never due.
    """
    if ":" in text:
        span = parse_timespan(text)
        if not span:
            raise ValueError(f"{text!r} is not longer than 0 seconds")
        return lambda after: after + span
    if len(text.split()) not in (5, 6):
        raise ValueError(f"{text!r} is not an NCRONTAB expression of six fields")

    def next_after(after: datetime) -> datetime:
        iter_due_at = croniter(text, after, second_at_beginning=True, day_or=False)
        due_at: datetime = iter_due_at.get_next(datetime)
        return due_at

    next_after(datetime(2024, 1, 1, tzinfo=UTC))  # raises if it is never due, even in a leap year
    return next_after


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
