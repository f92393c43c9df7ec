"""What a dead host costs: 1,000 deliveries to it beside 100 to a live one.

    python -m benchmarks.dead_host --crowd 1000 --live 100 --seconds 10 [--whole]

The steps, the pump of the local host and HTTP are real; the storage is in memory, with a delay for
each call. With `--whole` it is the whole app in a process of its own, over Azurite, which by itself
slows down with the messages that it holds: what that costs is shown by as many that are not due.
Printed is how long the live host's events take, and how often the others have to wait meanwhile.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles

from benchmarks.house import House, clutter, open_house
from benchmarks.whole_app import WholeApp, open_whole_app
from opswatch.local.azurite import free_ports
from tests.support.receivers import Receiver, answers, hangs, receiving

NOBODY, NOT_DUE, WELL = "nobody", "messages not due", "a host that is well"
REFUSES, HANGS = "a host that refuses", "a host that hangs"
_PATIENCE = 120.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of one run, until the last of the live host's events."""

    lags: list[float]  # of the live host's events, seconds
    waits: int  # messages sent away from a host: it was busy, or in a pause


async def measure(
    house: House | WholeApp, beside: str, *, crowd: int, live: int, seconds: float
) -> Figures:
    """Owe `crowd` deliveries to the host beside and `live` to the live one, spread over `seconds`.

    All of them at once where that is 0.
    """
    async with receiving(answers(204)) as receiver, _beside(beside) as other:
        if beside == NOT_DUE:
            await clutter(house.services, crowd)
        urls = [receiver.url] * live + [other] * (0 if beside in (NOBODY, NOT_DUE) else crowd)
        Random(1).shuffle(urls)  # noqa: S311 - no secret
        async with asyncio.timeout(_PATIENCE):
            await house.owe_all(urls, seconds)
            while not await _are_told(house, receiver, live):
                await asyncio.sleep(0.05)
        return Figures(lags=await house.lags(receiver.url), waits=house.waits())


async def _are_told(house: House | WholeApp, receiver: Receiver, count: int) -> bool:
    """Tell whether all events have come and are known to have; ask the storage last, it is slow."""
    return len(receiver.posts) >= count and len(await house.lags(receiver.url)) >= count


@asynccontextmanager
async def _beside(name: str) -> AsyncIterator[str]:
    if name == REFUSES:
        (port,) = free_ports(1)
        yield f"http://127.0.0.1:{port}/hook"
        return
    async with receiving(hangs if name == HANGS else answers(204)) as receiver:
        yield receiver.url


async def _run(beside: str, asked: argparse.Namespace) -> Figures:
    async with open_whole_app() if asked.whole else open_house() as house:
        return await measure(
            house, beside, crowd=asked.crowd, live=asked.live, seconds=asked.seconds
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=1000, help="deliveries to the host beside")
    parser.add_argument("--live", type=int, default=100, help="deliveries to the live host")
    parser.add_argument(
        "--seconds", type=float, default=10, help="over which they come; 0: at once"
    )
    parser.add_argument("--whole", action="store_true", help="the whole app, over Azurite")
    asked = parser.parse_args()
    for beside in (NOBODY, *([NOT_DUE] if asked.whole else []), WELL, REFUSES, HANGS):
        figures = asyncio.run(_run(beside, asked))
        print(
            f"beside {beside:20} live events took: median {median(figures.lags) * 1000:6.0f} ms, "
            f"p95 {quantiles(figures.lags, n=20)[-1] * 1000:6.0f} ms; "
            f"the others waited {figures.waits} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
