"""Clocks: the real one, and one that moves only when it is told."""

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """Return the instant, aware, in UTC."""
    return datetime.now(UTC)


class ManualClock:
    """A clock for simulated time: `clock()` reads it, `advance` and `sleep` move it."""

    def __init__(self, now: datetime = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Read the clock."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once: what `asyncio.sleep` is to the real clock."""
        self.advance(seconds)
