"""Clocks: the machine's, and one that a test moves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]  # aware, UTC


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class SimulatedClock:
    """A clock that does not move by itself."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        """Move it by hours, minutes, seconds …."""
        self.now += timedelta(**span)
