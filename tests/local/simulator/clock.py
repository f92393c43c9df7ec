"""A clock for simulated time."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """`clock()` reads it; `advance` and `sleep` move it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Replace `asyncio.sleep`: time passes, and the call returns at once."""
        self.advance(seconds)
