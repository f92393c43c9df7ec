"""The timer trigger: NCRONTAB expressions, and runs that never overlap."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from croniter import croniter

from opswatch.local.host.lifecycle import Stop
from opswatch.local.host.settings import parse_timespan

Schedule = Callable[[datetime], datetime]  # the first instant after the given one
_LONGEST_NAP = 60.0  # seconds: then the clock, which may have been set, is read again


def parse_schedule(text: str) -> Schedule:
    """Read a schedule: six NCRONTAB fields, five (without seconds), or a time span. In UTC.

    Unlike cron, a day has to fit both day-of-month and day-of-week.
    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions

    Raises:
        ValueError: it is none of them, or never comes.
    """
    if ":" in text:
        span = parse_timespan(text)
        if not span:
            raise ValueError(f"{text!r} is no time at all")
        return lambda after: after + span
    if len(text.split()) not in (5, 6):
        raise ValueError(f"{text!r} is not the six fields of an NCRONTAB expression")

    def next_after(after: datetime) -> datetime:
        following = croniter(text, after, second_at_beginning=True, day_or=False)
        instant: datetime = following.get_next(datetime)
        return instant

    next_after(datetime(2024, 1, 1, tzinfo=UTC))  # a leap year: what never comes shows here
    return next_after


class Timer:
    """Runs one function on its schedule.

    `useMonitor` means nothing here: no state is kept between starts, so nothing is ever past due.
    """

    def __init__(
        self,
        schedule: Schedule,
        run: Callable[[], Awaitable[None]],
        stop: Stop,
        *,
        run_on_startup: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schedule = schedule
        self._run = run
        self._stop = stop
        self._run_on_startup = run_on_startup
        self._now = now
        self.has_started = asyncio.Event()  # what runs at the start has run

    async def run(self) -> None:
        """Run until `stop`; the instants that pass during a run are left out."""
        try:
            if self._run_on_startup and not self._stop.is_set:
                await self._run()
        finally:
            self.has_started.set()
        due_at = self._schedule(self._now())
        while not self._stop.is_set:
            await self._wait_until(due_at)
            if self._stop.is_set:
                return
            await self._run()
            due_at = self._schedule(max(due_at, self._now()))

    async def _wait_until(self, due_at: datetime) -> None:
        while not self._stop.is_set and (left := due_at - self._now()) > timedelta(0):
            await self._stop.pause(min(left.total_seconds(), _LONGEST_NAP))
