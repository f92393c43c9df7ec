"""Microsoft's queue listener and the local host's treat the same messages in the same way."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.local.azurite import Azurite
from tests.pump.proxy import QueueProxy, Request, queue_proxy
from tests.pump.pumps import ABSENT, IS_ABSENT, Arrival, StartPump, listener_pump, local_pump

pytestmark = pytest.mark.timeout(30)
PATIENCE = 10.0  # seconds
QUIET = 0.3  # seconds in which a pump that has room would receive again
SLACK = 0.4  # seconds by which a busy machine may be late

PUMPS = [
    pytest.param(listener_pump, id="listener", marks=pytest.mark.skipif(IS_ABSENT, reason=ABSENT)),
    pytest.param(local_pump, id="local"),
]


class Bench:
    """One of the pumps over one queue, and a record of the arrivals."""

    def __init__(self, start: StartPump, azurite: Azurite, account: Account) -> None:
        self._start, self._azurite, self._account = start, azurite, account
        self.succeeds = True
        self.function: Callable[[Arrival], Awaitable[object]] | None = None
        self.arrivals: list[Arrival] = []
        self._new: asyncio.Queue[Arrival] = asyncio.Queue()

    @asynccontextmanager
    async def pumping(self, queue: QueueClient, **settings: Any) -> AsyncIterator[Any]:
        """Pump `queue` with the settings of host.json's `extensions.queues`."""
        known = {"messageEncoding": "none", "maxPollingInterval": "00:00:00.1"}
        document = {"version": "2.0", "extensions": {"queues": known | settings}}
        connection = self._azurite.connection_string
        async with self._start(connection, document, self._run, queue.queue_name) as running:
            yield running

    @asynccontextmanager
    async def observed(self, queue: QueueClient, **settings: Any) -> AsyncIterator[QueueProxy]:
        """Pump `queue` through a proxy that records the requests."""
        async with queue_proxy(self._azurite) as proxy:
            azurite, self._azurite = self._azurite, Azurite(proxy.ports, self._azurite.pid)
            async with self.pumping(queue, **settings):
                yield proxy
            self._azurite = azurite

    async def arrive(self, count: int = 1) -> list[Arrival]:
        """Return the next `count` arrivals."""
        async with asyncio.timeout(PATIENCE):
            return [await self._new.get() for _ in range(count)]

    async def is_quiet(self) -> bool:
        """Return whether nothing arrives for a while."""
        try:
            async with asyncio.timeout(QUIET):
                await self._new.get()
        except TimeoutError:
            return True
        return False

    def poison(self, queue: QueueClient) -> QueueClient:
        return self._account.queue(f"{queue.queue_name}-poison")

    async def _run(self, arrival: Arrival) -> bool:
        self.arrivals.append(arrival)
        self._new.put_nowait(arrival)
        if self.function:
            await self.function(arrival)
        return self.succeeds


@pytest.fixture(params=PUMPS)
def bench(request: pytest.FixtureRequest, azurite: Azurite, account: Account) -> Bench:
    return Bench(request.param, azurite, account)


async def send(queue: QueueClient, *texts: str) -> None:
    for text in texts:
        await queue.send_message(text, time_to_live=-1)


async def length(queue: QueueClient) -> int:
    """Return the number of messages, including the hidden ones."""
    return (await queue.get_queue_properties()).approximate_message_count or 0


async def texts_of(queue: QueueClient, count: int) -> list[str]:
    """Return the sorted texts of a queue that has, or will have, `count` messages."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if await length(queue) >= count:
                    break
            except ResourceNotFoundError:
                pass  # it is created when the first message is poisoned
            await asyncio.sleep(0.05)
    return sorted(message.content for message in await queue.peek_messages(32))


async def drained(queue: QueueClient) -> None:
    """Return when nothing is left in `queue`."""
    async with asyncio.timeout(PATIENCE):
        while await length(queue):
            await asyncio.sleep(0.05)


async def until(proxy: QueueProxy, queue: QueueClient, count: int) -> list[Request]:
    """Return the first `count` receives."""
    async with asyncio.timeout(PATIENCE):
        while len(proxy.receives(queue.queue_name)) < count:
            await asyncio.sleep(0.01)
    return proxy.receives(queue.queue_name)[:count]


# --- receiving


async def test_receive_asks_for_a_batch_and_ten_minutes(bench: Bench, queue: QueueClient) -> None:
    async with bench.observed(queue, batchSize=7) as proxy:
        (first,) = await until(proxy, queue, 1)
    assert (first.query["numofmessages"], first.query["visibilitytimeout"]) == ("7", "600")


async def test_idle_receives_grow_apart_until_a_message(bench: Bench, queue: QueueClient) -> None:
    async with bench.observed(queue, maxPollingInterval="00:00:02") as proxy:
        before = gaps(await until(proxy, queue, 6))
        await send(queue, "a message")
        await bench.arrive()
        arrived_at = bench.arrivals[0].at
        seen = len([at for at in times(proxy, queue) if at < arrived_at])
        after = gaps((await until(proxy, queue, seen + 4))[seen - 1 :])
    assert_gaps(before, [(0.1, 0.1), (0.18, 0.22), (0.26, 0.34), (0.42, 0.58), (0.74, 1.06)])
    assert_gaps(after, [(0, 0), (0.1, 0.1), (0.18, 0.22), (0.26, 0.34)])


def times(proxy: QueueProxy, queue: QueueClient) -> list[float]:
    return [request.at for request in proxy.receives(queue.queue_name)]


def gaps(requests: list[Request]) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(requests)]


def assert_gaps(seen: list[float], expected: list[tuple[float, float]]) -> None:
    assert len(seen) == len(expected)
    for gap, (least, most) in zip(seen, expected, strict=True):
        assert least - 0.02 <= gap <= most + SLACK, seen


async def test_missing_queue_is_not_created(bench: Bench, account: Account) -> None:
    queue = account.queue(f"q-{uuid4().hex}")
    async with bench.pumping(queue):
        assert await bench.is_quiet()
        await queue.create_queue()  # fails if the pump has created it
        await send(queue, "a message")
        await bench.arrive()


async def test_message_arrives_with_its_metadata(bench: Bench, queue: QueueClient) -> None:
    sent = await queue.send_message("a message", time_to_live=3600)
    async with bench.pumping(queue):
        (arrival,) = await bench.arrive()
        await drained(queue)
    assert (arrival.message_id, arrival.dequeue_count) == (sent.id, 1)
    assert arrival.pop_receipt
    assert arrival.times["InsertionTime"] == sent.inserted_on
    assert arrival.times["ExpirationTime"] == sent.expires_on
    hidden_until = arrival.times["NextVisibleTime"]
    assert hidden_until
    assert sent.inserted_on
    assert timedelta(minutes=9) < hidden_until - sent.inserted_on < timedelta(minutes=11)


# --- at once


@pytest.mark.parametrize(
    ("batch", "threshold", "ended", "runs"),
    [
        (16, 8, 7, (16, 0)),  # 9 are left, and more than 8
        (16, 8, 8, (16, 16)),  # 24 at once
        (32, 224, 31, (256, 0)),
        (1, 0, 1, (1, 1)),
    ],
)
async def test_batch_and_threshold_limit_what_runs(
    bench: Bench, queue: QueueClient, batch: int, threshold: int, ended: int, runs: tuple[int, int]
) -> None:
    permits = asyncio.Semaphore(0)
    bench.function = lambda _: permits.acquire()
    at_first, after_some_have_ended = runs
    count = at_first + batch
    await asyncio.gather(*(send(queue, str(number)) for number in range(count)))
    async with bench.pumping(queue, batchSize=batch, newBatchThreshold=threshold):
        await bench.arrive(at_first)
        assert await bench.is_quiet()
        for _ in range(ended):
            permits.release()
        await bench.arrive(after_some_have_ended)
        assert await bench.is_quiet()
        for _ in range(count):
            permits.release()
        await drained(queue)


async def test_default_threshold_is_half_a_batch_for_each_core(
    bench: Bench, queue: QueueClient
) -> None:
    at_once = 0
    while at_once <= 4 // 2 * (os.cpu_count() or 1):
        at_once += 4
    gate = asyncio.Event()
    bench.function = lambda _: gate.wait()
    await asyncio.gather(*(send(queue, str(number)) for number in range(at_once + 4)))
    async with bench.pumping(queue, batchSize=4):
        await bench.arrive(at_once)
        assert await bench.is_quiet()
        gate.set()
        await bench.arrive(4)


# --- failing


@pytest.mark.parametrize(
    ("settings", "runs", "delay"),
    [({}, 5, 0), ({"visibilityTimeout": "00:00:01", "maxDequeueCount": 3}, 3, 1)],
    ids=["by default", "after a second"],
)
async def test_failing_message_returns_and_is_poisoned(
    bench: Bench, queue: QueueClient, settings: dict[str, Any], runs: int, delay: int
) -> None:
    bench.succeeds = False
    await send(queue, '{"without": "an end"}')
    async with bench.observed(queue, **settings) as proxy:
        poison = bench.poison(queue)
        assert await texts_of(poison, 1) == ['{"without": "an end"}']
        await drained(queue)
    arrivals = bench.arrivals
    assert [arrival.dequeue_count for arrival in arrivals] == list(range(1, runs + 1))
    assert len({arrival.message_id for arrival in arrivals}) == 1
    assert len({arrival.pop_receipt for arrival in arrivals}) == runs
    assert releases(proxy, queue) == [delay] * (runs - 1)
    assert all(later.at - earlier.at > delay - 0.1 for earlier, later in pairwise(arrivals))
    (poisoned,) = await poison.peek_messages()
    assert poisoned.expires_on
    assert poisoned.inserted_on
    assert poisoned.expires_on - poisoned.inserted_on == timedelta(days=7)


def releases(proxy: QueueProxy, queue: QueueClient) -> list[int]:
    """Return the seconds for which the messages of `queue` were hidden after a failure."""
    messages = f"/{queue.queue_name}/messages/"
    return [
        int(request.query["visibilitytimeout"])
        for request in proxy.requests
        if request.method == "PUT" and request.path.startswith(messages)
    ]


async def test_worn_message_is_poisoned_without_a_run(bench: Bench, queue: QueueClient) -> None:
    await send(queue, "worn")
    for _ in range(5):
        message = await queue.receive_message()
        assert message
        await queue.update_message(message.id, message.pop_receipt, visibility_timeout=0)
    async with bench.pumping(queue):
        assert await texts_of(bench.poison(queue), 1) == ["worn"]
    assert bench.arrivals == []


async def test_poison_queue_has_no_poison_queue(bench: Bench, account: Account) -> None:
    queue = account.queue(f"q-{uuid4().hex[:20]}-poison")
    await queue.create_queue()
    bench.succeeds = False
    await send(queue, "again")
    async with bench.pumping(queue, maxDequeueCount=1):
        await bench.arrive()
        assert await bench.is_quiet()
    assert await length(queue) == 1
    with pytest.raises(ResourceNotFoundError):
        await length(bench.poison(queue))


# --- encodings


async def test_text_without_encoding_arrives_as_it_is(bench: Bench, queue: QueueClient) -> None:
    texts = [
        *("plain text", '{"a": "message"}', "6432a8f9-0fe6-4339-9303-772c92f35d02", "abcd"),
        *("cGxhaW4gdGV4dA==", "\ufeffodd \u00e9\U0001f600 \r\n", " \r\n "),
    ]
    await send(queue, *texts)
    async with bench.pumping(queue):
        arrivals = await bench.arrive(len(texts))
        await drained(queue)
    assert sorted(arrival.text for arrival in arrivals) == sorted(texts)


async def test_base64_is_decoded_or_poisoned(bench: Bench, queue: QueueClient) -> None:
    good = base64.b64encode("\u00e9".encode()).decode()
    spaced = f" {good[:2]}\r\n{good[2:]}\t"
    never_run = ["plain text", '{"a": "message"}', "abc", f"{good}\u00a0", f"{good}="]
    no_utf8 = "abcd"  # an ID of four characters is base64
    await send(queue, good, spaced, no_utf8, *never_run)
    async with bench.observed(queue, messageEncoding="base64", maxDequeueCount=3) as proxy:
        poisoned = await texts_of(bench.poison(queue), len(never_run) + 1)
        await drained(queue)
    assert [arrival.text for arrival in bench.arrivals] == ["\u00e9"] * 2
    assert poisoned == sorted([no_utf8, *never_run])
    assert releases(proxy, queue) == [0, 0], "what is not UTF-8 is tried three times"


# --- settling


@pytest.mark.parametrize(("is_deleted", "left"), [(True, 0), (False, 1)])
async def test_message_changed_by_its_function_is_left_alone(
    bench: Bench, queue: QueueClient, is_deleted: bool, left: int
) -> None:
    async def change(arrival: Arrival) -> None:
        if arrival.text != "changed":
            return
        if is_deleted:
            await queue.delete_message(arrival.message_id, arrival.pop_receipt)
        else:
            await queue.update_message(
                arrival.message_id, arrival.pop_receipt, visibility_timeout=60
            )

    bench.function = change
    await send(queue, "changed")
    async with bench.pumping(queue):
        await bench.arrive()
        await send(queue, "the next")
        await bench.arrive()
        assert await bench.is_quiet()
    assert await length(queue) == left


async def test_drain_awaits_what_runs_and_leaves_the_rest(bench: Bench, queue: QueueClient) -> None:
    gate = asyncio.Event()
    bench.function = lambda _: gate.wait()
    await send(queue, *"abcdefgh")
    async with bench.pumping(queue, batchSize=3, newBatchThreshold=0) as running:
        await bench.arrive(3)
        draining = asyncio.create_task(running.drain())
        done, _ = await asyncio.wait({draining}, timeout=QUIET)
        assert not done
        gate.set()
        async with asyncio.timeout(PATIENCE):
            await draining
    left = {message.content for message in await queue.peek_messages(32)}
    assert left == set("abcdefgh") - {arrival.text for arrival in bench.arrivals}
    assert await length(queue) == len(left) == 5
