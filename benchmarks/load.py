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
from secrets import token_bytes
from statistics import median, quantiles

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.core.webhook import Secret
from opswatch.core.wire import OPERATIONS_QUEUE
from opswatch.local.azurite import running_azurite
from opswatch.local.demo.app import running_app
from opswatch.local.demo.receiver import Receiver
from opswatch.local.simulator import Life, Operation, Simulator

_POSTED_AT_ONCE = 16


async def measure(operations: int, seconds: float) -> tuple[list[float], list[float]]:
    """Watch `operations` that take `seconds` each.

    Return how late each poll was, and how long after the last one each callback came, in seconds.
    """
    secret = Secret(token_bytes(32))
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        arm = await stack.enter_async_context(Simulator(seed=1))
        receiver = await stack.enter_async_context(Receiver(secret.text))
        env = {
            **arm.environment,
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_CALLBACK_URL": f"{receiver.url}/hook",
            "OPSWATCH_CALLBACK_SECRETS": secret.text,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
        }
        await stack.enter_async_context(running_app(env))
        account = Account(Storage.from_env(env))
        stack.push_async_callback(account.close)
        queue = account.queue(OPERATIONS_QUEUE)
        life = Life(duration=timedelta(seconds=seconds))
        started = [arm.start(life) for _ in range(operations)]
        gate = asyncio.Semaphore(_POSTED_AT_ONCE)

        async def post(text: str) -> None:
            async with gate:
                await queue.send_message(text, time_to_live=-1)

        await asyncio.gather(*(post(operation.url) for operation in started))
        async with asyncio.timeout(seconds * 3 + 120):
            while len(receiver.received) < operations:
                await asyncio.sleep(0.5)
        arrived = {
            received.event["data"]["operationId"]: received.at
            for received in receiver.received
            if received.event
        }
        polled: dict[str, list[datetime]] = {one.id: [] for one in started}
        for request in arm.requests:
            if request.operation_id in polled:
                polled[request.operation_id].append(request.at)
        late = [
            (later - _due_after(earlier, arm.operation(one.id))).total_seconds()
            for one in started
            for earlier, later in pairwise(polled[one.id])
        ]
        told = [(arrived[one.id] - polled[one.id][-1]).total_seconds() for one in started]
        return late, told


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
