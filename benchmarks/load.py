"""How punctual the whole app is: many operations at once, from their posts to their callbacks.

Everything is real but ARM: `opswatch dev` in another process, Azurite, HTTP. Printed is how late
the polls were, and how long after an operation's last poll its callback was received.

    python -m benchmarks.load --operations 200 --seconds 20
"""

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import running_azurite
from opswatch.local.simulator import Scenario, Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.support.endpoints import Endpoint
from tests.support.harness import SECRET
from tests.support.processes import AppProcess

_POSTED_AT_ONCE = 16
_LEASE = 600  # seconds
_GAP = 5  # seconds between two polls, so that it is known when each is due


async def measure(operations: int, seconds: float) -> tuple[list[float], list[float]]:
    """Watch `operations` that take `seconds` each.

    Return the lateness of each poll, and the time from the last poll to each callback, in seconds.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        azurite = stack.enter_context(running_azurite())
        arm = await stack.enter_async_context(Simulator(seed=1))
        endpoint = await stack.enter_async_context(Endpoint("hook", SECRET))
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_POLL_MIN": f"PT{_GAP}S",
            "OPSWATCH_POLL_MAX": f"PT{_GAP}S",
        }
        env = arm.environment | endpoint.environment | settings
        app = AppProcess(env, _LEASE, folder / "app.log")
        await stack.enter_async_context(app)
        await app.wait_until_up()
        scenario = Scenario(duration=timedelta(seconds=seconds))
        started = [arm.start(scenario) for _ in range(operations)]
        await _post(Storage.from_env(env), [operation.url for operation in started])
        async with asyncio.timeout(seconds * 3 + 120):
            while len(endpoint.posts) < operations:
                await asyncio.sleep(0.5)
        polled = _polled(arm)
        late = [
            (later - earlier).total_seconds() - _GAP
            for operation in arm.operations()
            for earlier, later in pairwise(polled[operation.id])
        ]
        delays = [post.at - polled[post.operation_id][-1].timestamp() for post in endpoint.posts]
        return late, delays


async def _post(storage: Storage, urls: list[str]) -> None:
    account = Account(storage)
    queue, posting = account.queue(OPERATIONS_QUEUE), asyncio.Semaphore(_POSTED_AT_ONCE)

    async def post(url: str) -> None:
        async with posting:
            await queue.send_message(url, time_to_live=-1)

    await asyncio.gather(*(post(url) for url in urls))
    await account.close()


def _polled(arm: Simulator) -> dict[str, list[datetime]]:
    """Return when each operation was polled, by its id."""
    polled: dict[str, list[datetime]] = {operation.id: [] for operation in arm.operations()}
    for request in arm.requests:
        if request.operation_id in polled:
            polled[request.operation_id].append(request.at)
    return polled


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    late, delays = asyncio.run(measure(options.operations, options.seconds))
    _print("polls, seconds after they were due", late)
    _print("callbacks, seconds after the last poll", delays)


def _print(name: str, figures: list[float]) -> None:
    p95 = quantiles(figures, n=20)[-1]
    print(
        f"{len(figures):5} {name}: "
        f"median {median(figures):.2f}, p95 {p95:.2f}, most {max(figures):.2f}"
    )


if __name__ == "__main__":
    main()
