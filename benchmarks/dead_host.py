"""The cost of a dead host: 1,000 deliveries to it beside 100 to a live one.

    python -m benchmarks.dead_host --crowd 1000 --live 100 --seconds 10 [--whole]

The steps, the local host's trigger and HTTP are real; the storage is in memory, with a delay for
each request. With `--whole` it is the whole app in another process, over Azurite. Azurite becomes
slower with the messages that it holds: a run with as many messages that are not due shows by how
much. Printed is how long the live host's events take, and how often the others were deferred.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median, quantiles

from opswatch.bootstrap import open_services
from opswatch.local.azurite import free_ports, running_azurite
from opswatch.ports import Query, Services
from tests.support.harness import SECRET, enqueue_delivery, enqueue_not_due
from tests.support.processes import AppProcess
from tests.support.realtime import RealTimeHarness, open_real_time_harness
from tests.support.receivers import Receiver, answers, hangs

ALONE, NOT_DUE, WELL = "no other", "messages not due", "a host that works"
REFUSES, HANGS = "a host that refuses", "a host that hangs"
_PATIENCE = 120.0  # seconds
_WRITTEN_AT_ONCE = 8  # deliveries, to Azurite


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one run, until the last of the live host's events."""

    lags: list[float]  # of the live host's events, seconds
    deferred: int  # times that a delivery was not attempted: its host was busy, or paused


@dataclass(slots=True)
class Subject:
    """The app that is measured; `pause` and `resume` make it see all deliveries at once."""

    services: Services
    count_deferred: Callable[[int], int]  # given the number of deliveries
    pause: Callable[[], None] = lambda: None
    resume: Callable[[], None] = lambda: None
    at_once: int = 10_000
    began_at: datetime = field(default=datetime.min.replace(tzinfo=UTC))

    async def enqueue(self, urls: Sequence[str], seconds: float) -> None:
        """Enqueue a delivery to each of `urls`, one after another over `seconds`; 0: at once."""
        if not seconds:
            self.pause()
        writing = asyncio.Semaphore(self.at_once)

        async def enqueue(number: int, url: str) -> None:
            await asyncio.sleep(seconds * number / len(urls))
            async with writing:
                await enqueue_delivery(self.services, number, url)

        async with asyncio.TaskGroup() as enqueuing:
            for number, url in enumerate(urls):
                enqueuing.create_task(enqueue(number, url))
        if not seconds:
            self.began_at = self.services.clock()
            self.resume()

    async def lags(self, url: str) -> list[float]:
        """Return how long the settled deliveries to `url` took, in seconds."""
        settled = [row.value async for row in self.services.store.deliveries.find(Query())]
        return [
            (delivery.delivered_at - max(delivery.started_at, self.began_at)).total_seconds()
            for delivery in settled
            if delivery.callback_url == url and delivery.delivered_at
        ]


def in_memory(harness: RealTimeHarness) -> Subject:
    """Return a harness as the subject; its deliveries start before the last is enqueued."""
    names = harness.effects.names
    return Subject(harness.services, lambda count: names.count("deliveries_queue.send") - count)


@asynccontextmanager
async def open_whole_app() -> AsyncIterator[Subject]:
    """Yield `opswatch dev` over Azurite."""
    with running_azurite() as azurite, tempfile.TemporaryDirectory() as folder:
        env = {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_CALLBACK_SECRETS": SECRET.text,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
        }
        log = Path(folder) / "app.log"
        async with open_services(env, create=True) as services, AppProcess(env, 600, log) as app:
            await app.wait_until_up()
            yield Subject(
                services,
                lambda _: log.read_text().count("opswatch.delivery_deferred"),
                app.pause,
                app.resume,
                at_once=_WRITTEN_AT_ONCE,
            )


async def measure(
    subject: Subject, beside: str, *, crowd: int, live: int, seconds: float
) -> Figures:
    """Enqueue `crowd` deliveries to the host `beside` and `live` to the live one."""
    async with Receiver(answers(204)) as receiver, _host(beside) as other:
        if beside == NOT_DUE:
            await enqueue_not_due(subject.services, crowd)
        urls = [receiver.url] * live + [other] * (0 if beside in (ALONE, NOT_DUE) else crowd)
        Random(1).shuffle(urls)  # noqa: S311 - no secret
        async with asyncio.timeout(_PATIENCE):
            await subject.enqueue(urls, seconds)
            # The storage is asked last: it is slow.
            while len(receiver.posts) < live or len(await subject.lags(receiver.url)) < live:
                await asyncio.sleep(0.05)
        return Figures(
            lags=await subject.lags(receiver.url), deferred=subject.count_deferred(len(urls))
        )


@asynccontextmanager
async def _host(name: str) -> AsyncIterator[str]:
    if name == REFUSES:
        (port,) = free_ports(1)
        yield f"http://127.0.0.1:{port}/hook"
        return
    async with Receiver(hangs if name == HANGS else answers(204)) as receiver:
        yield receiver.url


async def _run(beside: str, asked: argparse.Namespace) -> Figures:
    sizes = {"crowd": asked.crowd, "live": asked.live, "seconds": asked.seconds}
    if asked.whole:
        async with open_whole_app() as subject:
            return await measure(subject, beside, **sizes)
    async with open_real_time_harness() as harness:
        return await measure(in_memory(harness), beside, **sizes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=1000, help="deliveries to the host beside")
    parser.add_argument("--live", type=int, default=100, help="deliveries to the live host")
    parser.add_argument("--seconds", type=float, default=10, help="to enqueue them; 0: at once")
    parser.add_argument("--whole", action="store_true", help="the whole app, over Azurite")
    asked = parser.parse_args()
    for beside in (ALONE, *([NOT_DUE] if asked.whole else []), WELL, REFUSES, HANGS):
        figures = asyncio.run(_run(beside, asked))
        print(
            f"beside {beside:20} live events took: median {median(figures.lags) * 1000:6.0f} ms, "
            f"p95 {quantiles(figures.lags, n=20)[-1] * 1000:6.0f} ms; "
            f"others deferred {figures.deferred} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
