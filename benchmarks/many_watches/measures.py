"""The measurements: memory over an hour, punctuality, and the rate that one process sustains."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from benchmarks.many_watches.arm import RunningArm
from benchmarks.many_watches.usage import Usage, usage
from benchmarks.many_watches.watches import RunningWatches
from opswatch.bootstrap import open_services
from opswatch.config import STORAGE
from opswatch.ports import Arm, Services
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.steps.messages import operations_message
from opswatch.steps.repair import repair
from tests.support.clock import Clock, SimulatedClock, utc_now
from tests.support.harness import START
from tests.support.storage.process import StandInProcess, stand_in_process
from tests.support.trigger import Trigger, simulate, storage_queue

_MINUTE = 60.0
_WRITTEN_A_SECOND = 250  # watches, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour of simulated polling."""

    usages: list[Usage]  # at its beginning, and after each minute
    polls: int
    latest: float  # seconds between due and made, of the latest poll


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
    clock = SimulatedClock(START)
    watches = RunningWatches(count, START)
    latest = 0.0

    def record(late: float) -> None:
        nonlocal latest
        latest = max(latest, late)

    async with _running(watches, clock, record, START) as app:
        usages = [usage()]

        async def each_minute() -> None:
            await repair(app.services)
            usages.append(usage())

        await simulate(app.trigger, app.storage.jump, clock, span, each_minute)
        return Hour(usages=usages, polls=sum(app.arm.polls), latest=latest)


async def measure_punctuality(count: int, span: timedelta) -> Punctuality:
    """Poll `count` watches for `span` of real time; each is polled about every 5 min."""
    late: list[float] = []
    first_due = utc_now() + timedelta(seconds=10 + count // _WRITTEN_A_SECOND)
    watches, seconds = RunningWatches(count, first_due), span.total_seconds()
    async with _running(watches, utc_now, late.append) as app:
        await asyncio.sleep((first_due - utc_now()).total_seconds())
        before = usage(), usage(app.storage.pid)
        timer = asyncio.create_task(_fire_timer(app.services))
        await app.trigger.pump_while(asyncio.sleep(seconds))
        timer.cancel()
        return Punctuality(
            late=late,
            seconds=seconds,
            cpu=usage().cpu - before[0].cpu,
            storage_cpu=usage(app.storage.pid).cpu - before[1].cpu,
        )


async def _fire_timer(services: Services) -> None:
    while True:
        await asyncio.sleep(_MINUTE)
        await repair(services)


async def measure_rate(count: int) -> Rate:
    """Poll `count` watches that are all due at once, each of them once."""
    watches = RunningWatches(count, utc_now(), spread=timedelta(0))
    async with _running(watches, utc_now, lambda _: None) as app:

        async def all_polled() -> None:
            while sum(app.arm.polls) < count:
                await asyncio.sleep(0.05)

        before, began = usage(), utc_now()
        await app.trigger.pump_while(all_polled())
        seconds = (utc_now() - began).total_seconds()
        return Rate(polls=count, seconds=seconds, cpu=usage().cpu - before.cpu)


@asynccontextmanager
async def open_app(
    connection_string: str, arm: Arm, clock: Clock
) -> AsyncIterator[tuple[Services, Trigger]]:
    """Yield the polling half of the app over a storage, whose queues and tables are created."""
    env = {STORAGE: connection_string}
    async with (
        open_services(env, create=True, clock=clock) as opened,
        storage_queue(env, OPERATIONS_QUEUE) as queue,
    ):
        services = replace(opened, arm=arm)
        yield services, Trigger(queue, lambda body: operations_message(services, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class _App:
    services: Services
    trigger: Trigger
    arm: RunningArm
    storage: StandInProcess


@asynccontextmanager
async def _running(
    watches: RunningWatches,
    clock: Clock,
    record: Callable[[float], object],
    simulated_from: datetime | None = None,
) -> AsyncIterator[_App]:
    """Yield the app over a storage in another process, once it has the watches."""
    arm = RunningArm(clock, watches.started, watches.due, record)
    async with (
        stand_in_process(simulated_from) as storage,
        open_app(storage.connection_string, arm, clock) as (services, trigger),
    ):
        await watches.write(services)
        yield _App(services=services, trigger=trigger, arm=arm, storage=storage)
