"""How much the purge removes in its budget.

    python -m benchmarks.purge [--operations 100000]

All operations are older than the retention; each has a result, an entry in the timeline and one
settled delivery, in three subscriptions. Steps and adapters are real; the storage is a stand-in in
another process. Runs follow one another until nothing is left. The last line is JSON.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time

from opswatch.adapters.account import Account
from opswatch.adapters.gatherer import InFlight
from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.adapters.storage import create_missing
from opswatch.bootstrap import store_of
from opswatch.config import Storage
from opswatch.core.deliveries import Delivery, DeliveryState, new_delivery
from opswatch.core.keys import Key
from opswatch.core.policy import Policy
from opswatch.core.watches import Result, timeline_entry
from opswatch.ports import Query, Services
from opswatch.rows.tables import TABLES
from opswatch.steps.purge import BUDGET, purge
from opswatch.testing import MemoryArm, MemoryQueue
from tests.support import builders
from tests.support.harness import make_services, running
from tests.support.storage.process import stand_in_process

_SUBSCRIPTIONS = 3
_AT_ONCE = 64  # rows that are put
_RUNS_A_DAY = 24
_AGE = timedelta(days=40)
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the runs have removed, and what it took."""

    operations: int
    runs: int
    seconds: float
    cpu: float  # seconds, of this process

    def line(self) -> str:
        """Return the figures as a line of text."""
        a_second = self.operations / self.seconds
        a_day = a_second * BUDGET.total_seconds() * _RUNS_A_DAY
        return (
            f"{self.operations} operations in {self.seconds:.1f} s and {self.runs} runs: "
            f"{a_second:.0f} a second, {self.cpu / self.operations * 1000:.2f} ms of CPU each; "
            f"{a_day:,.0f} in the budgets of a day"
        )


@asynccontextmanager
async def services_over(connection_string: str) -> AsyncIterator[Services]:
    """Yield services whose tables are in a storage account, and the rest fakes."""
    account = Account(Storage(connection_string=connection_string))
    await create_missing(account, [], TABLES)
    store = store_of(account, NoTelemetry(), InFlight())

    def now() -> datetime:
        return datetime.now(UTC)

    queue = MemoryQueue(now)
    arm = MemoryArm(lambda _: running())
    yield make_services(operations=queue, deliveries=queue, arm=arm, clock=now, store=store)
    await account.close()


def old_operations(count: int, now: datetime) -> Iterable[tuple[Result, Delivery]]:
    """Yield results that are older than the retention, each with a settled delivery."""
    for number in range(count):
        at = now - _AGE + timedelta(seconds=number % _SECONDS_A_DAY)
        key = Key(f"subscription-{number % _SUBSCRIPTIONS}", f"p~westus~operations~{number:08}")
        operation = replace(builders.operation(), key=key)
        end = builders.end(finished_at=at)
        delivery = new_delivery(key, builders.HOOK, at, Policy())
        yield (
            builders.result(operation=operation, registered_at=at, end=end),
            replace(delivery, state=DeliveryState.DELIVERED, next_attempt_at=None),
        )


async def put_old_operations(services: Services, count: int) -> None:
    """Put the rows of `count` old operations."""
    store, remaining = services.store, iter(old_operations(count, services.clock()))

    async def put() -> None:
        for result, settled in remaining:
            await store.results.put(result)
            await store.timeline.put(timeline_entry(result.facts, result.end))
            await store.deliveries.put(settled)

    await asyncio.gather(*(put() for _ in range(_AT_ONCE)))


async def measure(services: Services, operations: int) -> Figures:
    """Run the purge until nothing is left."""
    runs, began, cpu = 0, perf_counter(), process_time()
    while (await services.store.timeline.find_page(Query(), 1)).values:
        await purge(services)
        runs += 1
    return Figures(
        operations=operations,
        runs=runs,
        seconds=perf_counter() - began,
        cpu=process_time() - cpu,
    )


async def main(operations: int) -> None:
    """Put so many operations, purge them, and print what it took."""
    async with (
        stand_in_process() as stand_in,
        services_over(stand_in.connection_string) as services,
    ):
        await put_old_operations(services, operations)
        figures = await measure(services, operations)
    print(figures.line())
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().operations))
