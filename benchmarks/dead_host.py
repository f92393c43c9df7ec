"""The cost of dead hosts: 1,000 deliveries to them beside 100 to a live one.

    python -m benchmarks.dead_host --crowd 1000 --live 100 --seconds 10 [--whole]

The steps, the local host's trigger and HTTP are real, and so are the threads that look up names; a
stub answers for the name servers. The storage is in memory, with a delay for each request. With
`--whole` it is the whole app in another process, over Azurite, and without the names. Azurite
becomes slower with the messages that it holds: a run with as many messages that are not due shows
by how much. Printed is how long the live host's events take, compared with those alone, how many of
them were not delivered by their first wake-up, and how often the others were deferred.
"""

import argparse
import asyncio
import logging
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from opswatch.adapters.resolver import CallbackResolver
from opswatch.bootstrap import open_services
from opswatch.core.deliveries import Delivery
from opswatch.local.azurite import free_ports, running_azurite
from opswatch.ports import Query, Services
from tests.support.harness import SECRET, enqueue_delivery, enqueue_not_due
from tests.support.processes import AppProcess
from tests.support.realtime import RealTimeHarness, open_real_time_harness
from tests.support.receivers import HOST, Receiver, answers

ALONE, NOT_DUE = "no other", "messages not due"
_DEAD = ".dead.example"  # names of it get no answer
_LIVE = "live.example"
_PATIENCE = 180.0  # seconds
_WRITTEN_AT_ONCE = 8  # deliveries, to Azurite


@dataclass(frozen=True, slots=True)
class Beside:
    """The hosts beside the live one: so many, each with its share of the deliveries."""

    name: str
    hosts: int = 1
    hang: bool = True
    listen: bool = True
    domain: str = ""  # that their names end with, each in a zone of its own; empty: addresses

    def __str__(self) -> str:
        return f"{self.hosts} {self.name}" if self.hosts > 1 else self.name


WELL = Beside("a host that works", hang=False)
REFUSES = Beside("a host that refuses", listen=False)
HANGS = Beside("a host that hangs")
FOUR_HANG = Beside("hosts that hang", 4)
FORTY_HANG = Beside("hosts that hang", 40)
ONE_ADDRESS = Beside("names at one address", 40, domain=".example")
DEAD_NAMES = Beside("names at a dead name server", 40, listen=False, domain=_DEAD)
HOSTS = (WELL, REFUSES, HANGS, FOUR_HANG, FORTY_HANG)
NAMES = (ONE_ADDRESS, DEAD_NAMES)


class NameServers:
    """Answers look-ups on their threads: names at loopback, but for a domain that is dead."""

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self.asked = 0

    def get_addresses(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        """Answer as `socket.getaddrinfo` does."""
        self.asked += 1
        if host.endswith(_DEAD):
            self.given_up.wait(30)  # as long as resolvers try
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one run, until the last of the live host's events."""

    lags: list[float]  # of the live host's events, seconds
    late: int  # of those, not delivered by their first wake-up
    attempts: int  # the most that one of them took
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

    async def settled(self, url: str) -> list[Delivery]:
        """Return the settled deliveries to `url`."""
        found = [row.value async for row in self.services.store.deliveries.find(Query())]
        return [delivery for delivery in found if delivery.callback_url == url]

    def lag(self, delivery: Delivery) -> float:
        """Return how long a delivery took, in seconds."""
        delivered_at = delivery.delivered_at
        if delivered_at is None:
            raise ValueError(f"not delivered: {delivery}")
        return (delivered_at - max(delivery.started_at, self.began_at)).total_seconds()


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
    subject: Subject,
    beside: Beside | str,
    *,
    crowd: int,
    live: int,
    seconds: float,
    live_name: str = HOST,
) -> Figures:
    """Enqueue `crowd` deliveries to the hosts `beside` and `live` to the live one."""
    others = beside if isinstance(beside, Beside) else Beside(beside, hosts=0)
    async with Receiver(answers(204)) as receiver, _urls(others) as urls:
        if beside == NOT_DUE:
            await enqueue_not_due(subject.services, crowd)
        url = receiver.url.replace(HOST, live_name)
        all_urls = [url] * live + [urls[n % len(urls)] for n in range(crowd if urls else 0)]
        Random(1).shuffle(all_urls)  # noqa: S311 - no secret
        async with asyncio.timeout(_PATIENCE):
            await subject.enqueue(all_urls, seconds)
            # The storage is asked last: it is slow.
            while len(receiver.posts) < live or len(await subject.settled(url)) < live:
                await asyncio.sleep(0.05)
        settled = await subject.settled(url)
        return Figures(
            lags=[subject.lag(delivery) for delivery in settled],
            late=sum(delivery.seq > 1 for delivery in settled),
            attempts=max(delivery.attempts for delivery in settled),
            deferred=subject.count_deferred(len(all_urls)),
        )


@asynccontextmanager
async def _urls(beside: Beside) -> AsyncIterator[list[str]]:
    """Yield the URLs of the hosts beside the live one."""
    over = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await over.wait()

    numbers = range(beside.hosts)
    responder = hang if beside.hang else answers(204)
    count = 0 if not beside.listen else 1 if beside.domain else beside.hosts
    async with AsyncExitStack() as stack:
        listeners = [Receiver(responder) for _ in range(count)]
        for listener in listeners:
            await stack.enter_async_context(listener)
        ports = [listener.port for listener in listeners] or free_ports(1)
        names = [f"hook.zone{n}{beside.domain}" if beside.domain else HOST for n in numbers]
        yield [f"http://{names[n]}:{ports[n % len(ports)]}/hook" for n in numbers]
        for listener in listeners:
            listener.close()
        over.set()


@asynccontextmanager
async def open_in_memory() -> AsyncIterator[Subject]:
    """Yield the steps over storage in memory, with real look-ups by threads."""
    servers = NameServers()
    try:
        async with open_real_time_harness(CallbackResolver(servers.get_addresses)) as harness:
            yield in_memory(harness)
    finally:
        servers.given_up.set()


async def _run(beside: Beside | str, asked: argparse.Namespace) -> Figures:
    sizes = {"crowd": asked.crowd, "live": asked.live, "seconds": asked.seconds}
    if asked.whole:
        async with open_whole_app() as subject:
            return await measure(subject, beside, **sizes)
    async with open_in_memory() as subject:
        return await measure(subject, beside, **sizes, live_name=_LIVE)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=1000, help="deliveries to the hosts beside")
    parser.add_argument("--live", type=int, default=100, help="deliveries to the live host")
    parser.add_argument("--seconds", type=float, default=10, help="to enqueue them; 0: at once")
    parser.add_argument("--whole", action="store_true", help="the whole app, over Azurite")
    asked = parser.parse_args()
    logging.getLogger("opswatch").setLevel(logging.ERROR)
    alone = 0.0
    besides = (ALONE, NOT_DUE, *HOSTS) if asked.whole else (ALONE, *HOSTS, *NAMES)
    for beside in besides:
        figures = asyncio.run(_run(beside, asked))
        middle, p95 = median(figures.lags), quantiles(figures.lags, n=20)[-1]
        alone = alone or middle
        print(
            f"beside {beside!s:31} live events took: median {middle * 1000:6.0f} ms "
            f"({middle / alone:4.1f} times), p95 {p95 * 1000:6.0f} ms; {figures.late} late, "
            f"at most {figures.attempts} attempts; others deferred {figures.deferred} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
