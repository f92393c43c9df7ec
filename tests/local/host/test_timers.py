from datetime import UTC, datetime, timedelta

import pytest

from opswatch.local.host.lifecycle import Stop
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
def test_a_schedule_tells_the_next_instant(text: str, after: datetime, expected: str) -> None:
    assert parse_schedule(text)(after) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "@daily",
        "* * * *",
        "* * * * * * *",
        "61 * * * * *",
        "0 0 0 30 2 *",
        "00:00:00",
        "9:",
    ],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_schedule(text)


class Clock(Stop):
    """Time that passes only in pauses; the end comes at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.time = NOON
        self.until = until
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return self.time

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += timedelta(seconds=seconds)
        if self.time >= self.until:
            self.set()


class Runs:
    """A function that takes some time, and what it saw."""

    def __init__(self, clock: Clock, lasting: float = 0) -> None:
        self.clock = clock
        self.lasting = timedelta(seconds=lasting)
        self.at: list[float] = []

    async def __call__(self) -> None:
        self.at.append((self.clock.time - NOON).total_seconds())
        self.clock.time += self.lasting


async def test_a_timer_runs_at_each_instant() -> None:
    clock = Clock(until=NOON + timedelta(seconds=40))
    runs = Runs(clock)
    await Timer(parse_schedule("*/10 * * * * *"), runs, clock, now=clock.now).run()
    assert runs.at == [10, 20, 30]


async def test_instants_that_pass_during_a_run_are_left_out() -> None:
    clock = Clock(until=NOON + timedelta(seconds=60))
    runs = Runs(clock, lasting=25)
    await Timer(parse_schedule("*/10 * * * * *"), runs, clock, now=clock.now).run()
    assert runs.at == [10, 40]


async def test_a_timer_that_wakes_early_does_not_run_twice() -> None:
    class Hasty(Clock):
        def now(self) -> datetime:
            # The clock steps back a moment once the instant has come.
            return self.time - timedelta(milliseconds=len(runs.at))

    clock = Hasty(until=NOON + timedelta(seconds=30))
    runs = Runs(clock)
    await Timer(parse_schedule("*/10 * * * * *"), runs, clock, now=clock.now).run()
    assert [round(at) for at in runs.at] == [10, 20]


async def test_run_on_startup_comes_first() -> None:
    clock = Clock(until=NOON + timedelta(seconds=15))
    runs = Runs(clock)
    timer = Timer(parse_schedule("*/10 * * * * *"), runs, clock, run_on_startup=True, now=clock.now)
    await timer.run()
    assert runs.at == [0, 10]


async def test_a_long_wait_reads_the_clock_again_and_again() -> None:
    clock = Clock(until=NOON + timedelta(hours=1))
    runs = Runs(clock)
    await Timer(parse_schedule("0 30 * * * *"), runs, clock, now=clock.now).run()
    assert runs.at == [1800]
    assert max(clock.pauses) == 60
