from datetime import UTC, datetime, timedelta

import pytest

from opswatch.local.host.shutdown import Shutdown
from opswatch.local.host.timers import Timer, parse_schedule

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("*/5 * * * * *", NOON, "2026-11-23T12:00:05"),
        ("*/5 * * * * *", NOON + timedelta(seconds=4.9), "2026-11-23T12:00:05"),
        ("0 */5 * * * *", NOON, "2026-11-23T12:05:00"),
        ("30 0 0 * * *", NOON, "2026-11-24T00:00:30"),
        ("*/5 * * * *", NOON, "2026-11-23T12:05:00"),
        ("0 0 9-17 * * MON-FRI", NOON, "2026-11-23T13:00:00"),
        ("0 0 0 * Jan Mon", NOON, "2027-01-04T00:00:00"),
        ("0 0 0 13 * 5", NOON, "2027-08-13T00:00:00"),  # a Friday and the 13th, not either
        ("0 0 0 29 2 *", NOON, "2028-02-29T00:00:00"),
        ("00:00:10", NOON, "2026-11-23T12:00:10"),
    ],
)
def test_schedule_returns_next_due_time(text: str, after: datetime, expected: str) -> None:
    assert parse_schedule(text)(after) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "x", "@daily", "* * * *", "* * * * * * *", "61 * * * * *", "0 0 0 30 2 *", "00:00:00",
     "9:"],
)  # fmt: skip
def test_invalid_schedule_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_schedule(text)


class Clock(Shutdown):
    """Time that passes only in pauses, until the shutdown after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.time = NOON
        self.until = NOON + timedelta(seconds=seconds)
        self.pauses: list[float] = []
        self.runs: list[float] = []  # seconds at which the function ran

    def now(self) -> datetime:
        return self.time

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += timedelta(seconds=seconds)
        if self.time >= self.until:
            self.set()


async def run_times(
    schedule: str, clock: Clock, *, duration: float = 0, run_on_startup: bool = False
) -> list[float]:
    """Run a timer whose function takes `duration`; return the seconds at which it ran."""

    async def function() -> None:
        clock.runs.append((clock.time - NOON).total_seconds())
        clock.time += timedelta(seconds=duration)

    timer = Timer(
        parse_schedule(schedule), function, clock, run_on_startup=run_on_startup, now=clock.now
    )
    await timer.run()
    return clock.runs


async def test_timer_runs_at_each_due_time() -> None:
    assert await run_times("*/10 * * * * *", Clock(40)) == [10, 20, 30]


async def test_due_times_during_a_run_are_skipped() -> None:
    assert await run_times("*/10 * * * * *", Clock(60), duration=25) == [10, 40]


async def test_clock_set_back_repeats_no_run() -> None:
    class SetBack(Clock):
        def now(self) -> datetime:
            return self.time - timedelta(milliseconds=len(self.runs))

    times = await run_times("*/10 * * * * *", SetBack(30))
    assert [round(at) for at in times] == [10, 20]


async def test_run_on_startup_comes_first() -> None:
    assert await run_times("*/10 * * * * *", Clock(15), run_on_startup=True) == [0, 10]


async def test_long_wait_reads_the_clock_again() -> None:
    clock = Clock(3600)
    assert await run_times("0 30 * * * *", clock) == [1800]
    assert max(clock.pauses) == 60
