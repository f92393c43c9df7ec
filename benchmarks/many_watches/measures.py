"""The measurements: memory over an hour, punctuality, and the rate that one process sustains."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.many_watches.app import App, open_app
from benchmarks.many_watches.arm import RunningArm
from benchmarks.many_watches.simulated import simulate
from benchmarks.many_watches.under_way import UnderWay
from benchmarks.many_watches.usage import Usage, usage
from opswatch.local.host.shutdown import Shutdown
from opswatch.steps.maintenance import repair
from tests.support.storage import Elsewhere, SimulatedClock, stand_in_elsewhere

_START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
_MINUTE = 60.0
_WRITTEN_A_SECOND = 250  # watches, at the least


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour of simulated polling."""

    usages: list[Usage]  # at its beginning, and after each minute
    polls: int
    latest: float  # seconds after it was due, of the latest poll


@dataclass(frozen=True, slots=True, kw_only=True)
class Punctuality:
    """Some minutes of polling in real time."""

    late: list[float]  # seconds, of each poll
    seconds: float
    cpu: float  # ours, seconds
    storage_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Polls that were all due at once."""

    polls: int
    seconds: float
    cpu: float  # seconds


async def measure_hour(count: int, span: timedelta) -> Hour:
    """Poll `count` watches for `span` of simulated time."""
    clock = SimulatedClock(_START)
    watches = UnderWay(count, _START)
    latest = 0.0

    def note(late: float) -> None:
        nonlocal latest
        latest = max(latest, late)

    async with _started(watches, clock, note, _START) as (app, arm, storage):
        usages = [usage()]
        await simulate(app, storage, clock, span, lambda: usages.append(usage()))
        return Hour(usages=usages, polls=sum(arm.polls), latest=latest)


async def measure_punctuality(count: int, span: timedelta) -> Punctuality:
    """Poll `count` watches for `span` of real time, in which each is polled about every 5 min."""
    late: list[float] = []
    first_due = _now() + timedelta(seconds=10 + count // _WRITTEN_A_SECOND)
    watches = UnderWay(count, first_due)
    async with _started(watches, _now, late.append) as (app, _, storage):
        await asyncio.sleep((first_due - _now()).total_seconds())
        before = usage(), usage(storage.pid)
        await _pump_for(app, span.total_seconds())
        return Punctuality(
            late=late,
            seconds=span.total_seconds(),
            cpu=usage().cpu - before[0].cpu,
            storage_cpu=usage(storage.pid).cpu - before[1].cpu,
        )


async def measure_rate(count: int) -> Rate:
    """Poll `count` watches that are all due at once, each of them once."""
    watches = UnderWay(count, _now(), spread=timedelta(0))
    async with _started(watches, _now, lambda _: None) as (app, arm, _):
        before, began, stop = usage(), _now(), Shutdown()
        async with asyncio.TaskGroup() as running:
            running.create_task(app.pump(stop))
            while sum(arm.polls) < count:
                await asyncio.sleep(0.05)
            stop.set()
        seconds = (_now() - began).total_seconds()
        return Rate(polls=count, seconds=seconds, cpu=usage().cpu - before.cpu)


@asynccontextmanager
async def _started(
    watches: UnderWay,
    clock: Callable[[], datetime],
    note: Callable[[float], object],
    simulated_from: datetime | None = None,
) -> AsyncIterator[tuple[App, RunningArm, Elsewhere]]:
    """Yield the app over a storage that has the watches, and what it polls."""
    arm = RunningArm(clock, watches.started, watches.due, note)
    async with (
        stand_in_elsewhere(simulated_from) as storage,
        open_app(storage.connection_string, arm, clock) as app,
    ):
        await watches.write(app.services)
        yield app, arm, storage


async def _pump_for(app: App, seconds: float) -> None:
    stop = Shutdown()
    async with asyncio.TaskGroup() as running:
        running.create_task(app.pump(stop))
        running.create_task(_timer(app, stop))
        await asyncio.sleep(seconds)
        stop.set()


async def _timer(app: App, stop: Shutdown) -> None:
    while not stop.is_set():
        await stop.pause(_MINUTE)
        await repair(app.services)


def _now() -> datetime:
    return datetime.now(UTC)
