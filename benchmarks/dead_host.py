"""What a dead host costs: 1,000 deliveries to it beside 100 to a live one.

The steps, the pump of the local host and HTTP are real; the storage is in memory, with a delay for
each call. Printed is how many connections the host beside the live one gets, and how long the live
one's events take.

    python -m benchmarks.dead_host --crowd 1000 --live 100 --seconds 10
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles

from benchmarks.house import open_house
from opswatch.local.azurite import free_ports
from tests.receivers import answers, hangs, receiving

BESIDE = ("nobody", "a host that is well", "a host that refuses", "a host that hangs")
_PATIENCE = 120.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of one run."""

    lags: list[float]  # of the live host's events, seconds
    connections: int  # to the host beside it, until the last of those events


async def measure(beside: str, *, crowd: int, live: int, seconds: float) -> Figures:
    """Owe `crowd` deliveries to the host beside and `live` to the live one, spread over `seconds`.

    All of them at once where that is 0.
    """
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(answers(204)))
        other = await stack.enter_async_context(_beside(beside))
        house = await stack.enter_async_context(open_house())
        urls = [receiver.url] * live + [other] * (0 if beside == "nobody" else crowd)
        Random(1).shuffle(urls)  # noqa: S311 - no secret
        async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as owing:
            for number, url in enumerate(urls):
                owing.create_task(house.owe(url, after=seconds * number / len(urls)))
            while len(house.lags(receiver.url)) < live:
                await asyncio.sleep(0.05)
        return Figures(lags=house.lags(receiver.url), connections=house.connections(other))


@asynccontextmanager
async def _beside(name: str) -> AsyncIterator[str]:
    if "refuses" in name or name == "nobody":
        (port,) = free_ports(1)
        yield f"http://127.0.0.1:{port}/hook"
        return
    async with receiving(hangs if "hangs" in name else answers(204)) as receiver:
        yield receiver.url


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=1000, help="deliveries to the host beside")
    parser.add_argument("--live", type=int, default=100, help="deliveries to the live host")
    parser.add_argument(
        "--seconds", type=float, default=10, help="over which they come; 0: at once"
    )
    asked = parser.parse_args()
    for beside in BESIDE:
        figures = asyncio.run(
            measure(beside, crowd=asked.crowd, live=asked.live, seconds=asked.seconds)
        )
        print(
            f"beside {beside:20} live events took: median {median(figures.lags) * 1000:6.0f} ms, "
            f"p95 {quantiles(figures.lags, n=20)[-1] * 1000:6.0f} ms; "
            f"connections to it: {figures.connections}",
            flush=True,
        )


if __name__ == "__main__":
    main()
