"""How punctual the whole app is: many operations at once, from their posts to their callbacks.

Everything is real but ARM: `opswatch dev` in a process of its own, Azurite, HTTP. Printed is how
late the polls came after they were due, and how long after the deciding poll the callback came.

    python -m benchmarks.load --operations 200 --seconds 20
"""

import argparse
import asyncio
import math
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median, quantiles

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import running_azurite
from opswatch.local.demo.app import running_app
from opswatch.local.demo.receiver import Receiver
from opswatch.local.simulator import Operation, Scenario, Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE

_POSTED_AT_ONCE = 16


async def measure(operations: int, seconds: float) -> tuple[list[float], list[float]]:
    """Watch `operations` that take `seconds` each.

    Return how late each poll was, and how long after the last one each callback came, in seconds.
    """
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        arm = await stack.enter_async_context(Simulator(seed=1))
        receiver = await stack.enter_async_context(Receiver())
        storage = {"AzureWebJobsStorage": azurite.connection_string}
        env = arm.environment | receiver.environment | storage
        await stack.enter_async_context(running_app(env))
        scenario = Scenario(duration=timedelta(seconds=seconds))
        started = [arm.start(scenario) for _ in range(operations)]
        await _post(Storage.from_env(env), [operation.url for operation in started])
        async with asyncio.timeout(seconds * 3 + 120):
            while len(receiver.received) < operations:
                await asyncio.sleep(0.5)
        polled = _polled(arm)
        return _late(arm.operations(), polled), _told(receiver, polled)


async def _post(storage: Storage, urls: list[str]) -> None:
    account = Account(storage)
    queue, gate = account.queue(OPERATIONS_QUEUE), asyncio.Semaphore(_POSTED_AT_ONCE)

    async def post(url: str) -> None:
        async with gate:
            await queue.send_message(url, time_to_live=-1)

    await asyncio.gather(*(post(url) for url in urls))
    await account.close()


def _polled(arm: Simulator) -> dict[str, list[datetime]]:
    """Return when each operation was polled, by its id."""
    polled: dict[str, list[datetime]] = {one.id: [] for one in arm.operations()}
    for request in arm.requests:
        if request.operation_id in polled:
            polled[request.operation_id].append(request.at)
    return polled


def _late(operations: list[Operation], polled: dict[str, list[datetime]]) -> list[float]:
    return [
        (later - _due_after(earlier, one)).total_seconds()
        for one in operations
        for earlier, later in pairwise(polled[one.id])
    ]


def _told(receiver: Receiver, polled: dict[str, list[datetime]]) -> list[float]:
    return [
        (received.at - polled[received.event["data"]["operationId"]][-1]).total_seconds()
        for received in receiver.received
        if received.event
    ]


def _due_after(polled_at: datetime, operation: Operation) -> datetime:
    """Return when the next poll is due: gaps of 5 s that double with the operation's age."""
    age = (polled_at - operation.started_at).total_seconds()
    return polled_at + timedelta(seconds=5 * 2 ** math.floor(math.log2(max(age, 0) / 5 + 1)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    late, told = asyncio.run(measure(options.operations, options.seconds))
    _print("polls, seconds after they were due", late)
    _print("callbacks, seconds after the deciding poll", told)


def _print(what: str, figures: list[float]) -> None:
    p95 = quantiles(figures, n=20)[-1]
    print(
        f"{len(figures):5} {what}: "
        f"median {median(figures):.2f}, p95 {p95:.2f}, most {max(figures):.2f}"
    )


if __name__ == "__main__":
    main()
