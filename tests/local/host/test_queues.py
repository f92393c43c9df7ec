import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import Azurite
from opswatch.local.host.leases import Lease, LeasedQueue
from opswatch.local.host.queues import QueueListener, idle_delays
from opswatch.local.host.settings import QueueSettings
from opswatch.local.host.shutdown import Shutdown
from tests.support.storage import StandIn, running_stand_in

SETTINGS = QueueSettings(base64=False, max_polling_interval=timedelta(milliseconds=100))

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(params=["azurite", "stand-in"])
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    """The emulator, and the storage that the benchmarks use."""
    async with AsyncExitStack() as stack:
        storage: Azurite | StandIn
        if request.param == "azurite":
            storage = request.getfixturevalue("azurite")
        else:
            storage = await stack.enter_async_context(running_stand_in())
        account = Account(Storage(connection_string=storage.connection_string))
        stack.push_async_callback(account.close)
        yield account


class Pump:
    """A listener of `queue`, and a record of the calls of its function.

    Without `function`, each call returns `succeeds`. Call number `calls` shuts the listener down.
    """

    def __init__(
        self,
        account: Account,
        queue: str,
        settings: QueueSettings = SETTINGS,
        *,
        function: Callable[[Lease], Awaitable[bool]] | None = None,
        succeeds: bool = True,
        calls: int = 1,
        **options: Any,
    ) -> None:
        self.shutdown = options.pop("shutdown", None) or Shutdown()
        self.seen: list[str] = []
        self.leases: list[Lease] = []
        self.function = function
        self.succeeds = succeeds
        self.calls = calls
        leased = LeasedQueue(account, queue)
        self.listener = QueueListener(leased, settings, self._run, self.shutdown, **options)

    async def _run(self, lease: Lease, body: str) -> bool:
        self.seen.append(body)
        self.leases.append(lease)
        if len(self.seen) == self.calls:
            self.shutdown.set()
        return await self.function(lease) if self.function else self.succeeds


async def contents(queue: QueueClient) -> list[str]:
    return [message.content async for message in queue.receive_messages(messages_per_page=32)]


async def length(queue: QueueClient) -> int:
    """Return the number of messages, including the leased ones."""
    return (await queue.get_queue_properties()).approximate_message_count or 0


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the host, without those of the SDK."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("opswatch") and record.levelno >= logging.WARNING
    ]


def poison_of(account: Account, queue: QueueClient) -> QueueClient:
    return account.queue(f"{queue.queue_name}-poison")


@pytest.mark.parametrize(
    ("longest", "spread", "expected"),
    [
        (2, 1.0, [0.1, 0.2, 0.3, 0.5, 0.9, 1.7, 2, 2]),
        (60, 1.0, [0.1, 0.2, 0.3, 0.5, 0.9, 1.7, 3.3, 6.5, 12.9, 25.7, 51.3, 60, 60]),
        (2, 0.8, [0.1, 0.18, 0.26, 0.42, 0.74, 1.38, 2, 2]),
        (2, 1.2, [0.1, 0.22, 0.34, 0.58, 1.06, 2, 2]),
        (0.1, 1.0, [0.1, 0.1, 0.1]),
    ],
)
def test_idle_delays_grow_up_to_the_longest(
    longest: float, spread: float, expected: list[float]
) -> None:
    def fixed(least: float, most: float) -> float:
        assert (least, most) == (0.8, 1.2)
        return spread

    delays = islice(idle_delays(timedelta(seconds=longest), fixed), len(expected))
    assert list(delays) == pytest.approx(expected)


def test_idle_delays_never_end() -> None:
    assert next(islice(idle_delays(timedelta(seconds=60)), 5000, None)) == 60


async def test_successful_message_is_deleted(account: Account, queue: QueueClient) -> None:
    pump = Pump(account, queue.queue_name)
    await queue.send_message("hello")
    await pump.listener.run()
    assert pump.seen == ["hello"]
    assert await length(queue) == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left"


async def test_failing_message_returns_until_poisoned(account: Account, queue: QueueClient) -> None:
    pump = Pump(account, queue.queue_name, succeeds=False, calls=SETTINGS.max_dequeue_count)
    await queue.send_message('{"id": 1}')
    await pump.listener.run()
    assert [lease.dequeue_count for lease in pump.leases] == [1, 2, 3, 4, 5]
    assert await length(queue) == 0
    assert await contents(poison_of(account, queue)) == ['{"id": 1}']


async def test_second_poisoned_message_joins_the_first(
    account: Account, queue: QueueClient
) -> None:
    settings = QueueSettings(base64=False, max_dequeue_count=1)
    pump = Pump(account, queue.queue_name, settings, succeeds=False, calls=2)
    for body in ("a", "b"):
        await queue.send_message(body)
    await pump.listener.run()
    assert sorted(await contents(poison_of(account, queue))) == ["a", "b"]


async def test_failed_message_waits_for_visibility_timeout(
    account: Account, queue: QueueClient
) -> None:
    settings = QueueSettings(base64=False, visibility_timeout=timedelta(hours=1))
    pump = Pump(account, queue.queue_name, settings, succeeds=False)
    await queue.send_message("later")
    await pump.listener.run()
    assert await length(queue) == 1
    assert await contents(queue) == []


async def test_message_above_dequeue_limit_is_poisoned(
    account: Account, queue: QueueClient
) -> None:
    await queue.send_message("worn")
    for _ in range(SETTINGS.max_dequeue_count):
        message = await queue.receive_message()
        assert message
        await queue.update_message(message.id, message.pop_receipt, visibility_timeout=0)
    await queue.send_message("fresh")
    pump = Pump(account, queue.queue_name)
    await pump.listener.run()
    assert pump.seen == ["fresh"]
    assert await length(queue) == 0
    assert await contents(poison_of(account, queue)) == ["worn"]


async def test_poison_queue_has_no_poison_queue(account: Account) -> None:
    poison = account.queue(f"q-{uuid4().hex[:20]}-poison")
    await poison.create_queue()
    await poison.send_message("again")
    settings = QueueSettings(base64=False, max_dequeue_count=1)
    pump = Pump(account, poison.queue_name, settings, succeeds=False)
    await pump.listener.run()
    assert await length(poison) == 1


async def test_base64_is_decoded_or_poisoned(account: Account, queue: QueueClient) -> None:
    good = base64.b64encode("é".encode()).decode()
    bad = ["plain text", f"{good}="]
    for text in (*bad, f" {good}\n"):
        await queue.send_message(text)
    pump = Pump(account, queue.queue_name, QueueSettings())
    await pump.listener.run()
    assert pump.seen == ["é"]
    assert await length(queue) == 0
    assert sorted(await contents(poison_of(account, queue))) == sorted(bad)


class InstantPauses(Shutdown):
    """Pauses that take no time: each runs the next of `actions`, and the last one shuts down."""

    def __init__(self, *actions: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.delays: list[float] = []
        self.actions = list(actions)

    async def pause(self, seconds: float) -> None:
        self.delays.append(seconds)
        if self.actions:
            await self.actions.pop(0)()
        else:
            self.set()


async def no_action() -> None: ...


async def test_missing_queue_is_empty_and_not_created(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    queue = account.queue(f"q-{uuid4().hex}")

    async def send() -> None:
        await queue.create_queue()  # fails if the listener created it
        await queue.send_message("hello")

    pauses = InstantPauses(no_action, no_action, send, no_action)
    settings = QueueSettings(base64=False)
    pump = Pump(account, queue.queue_name, settings, calls=-1, shutdown=pauses)
    await pump.listener.run()
    assert pump.seen == ["hello"]
    assert warnings_of(caplog) == []
    first, second, third, after_message, last = pauses.delays
    assert (first, after_message) == (0.1, 0.1), "a message resets the delay"
    assert 0.18 <= second <= 0.22
    assert 0.26 <= third <= 0.34
    assert 0.18 <= last <= 0.22


async def test_listener_survives_failing_storage(caplog: pytest.LogCaptureFixture) -> None:
    responses = [
        web.Response(status=403),
        web.Response(text="<nonsense", content_type="application/xml"),
        web.Response(text="<QueueMessagesList/>", content_type="application/xml"),
    ]

    async def storage(_: web.Request) -> web.Response:
        return responses.pop(0)

    app = web.Application()
    app.router.add_get("/{path:.*}", storage)

    async with TestServer(app) as server:
        connection = f"AccountName=a;AccountKey=a2V5;QueueEndpoint=http://127.0.0.1:{server.port}/a"
        account = Account(Storage(connection_string=connection))
        pump = Pump(account, "queue", shutdown=InstantPauses(no_action, no_action))
        await pump.listener.run()
        await account.close()
    assert responses == []
    assert [message.split(": ")[:3] for message in warnings_of(caplog)] == [
        ["queue queue", "cannot receive", "HttpResponseError"],
        ["queue queue", "cannot receive", "DecodeError"],
    ]


async def test_next_batch_waits_for_the_threshold(account: Account, queue: QueueClient) -> None:
    running = peak = 0
    started: asyncio.Queue[str] = asyncio.Queue()
    permits = asyncio.Semaphore(0)

    async def function(lease: Lease) -> bool:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        started.put_nowait(lease.text)
        await permits.acquire()
        running -= 1
        return True

    for number in range(12):
        await queue.send_message(str(number))
    settings = QueueSettings(base64=False, batch_size=4, new_batch_threshold=2)
    pump = Pump(account, queue.queue_name, settings, function=function, calls=12)
    pumping = asyncio.create_task(pump.listener.run())
    for _ in range(4):
        await started.get()
    assert len(await queue.peek_messages(32)) == 8, "the next batch waits"
    permits.release()
    permits.release()
    for _ in range(4):
        await started.get()
    assert running == 6
    for _ in range(10):
        permits.release()
    await pumping
    assert peak == 6
    assert sorted(pump.seen, key=int) == [str(number) for number in range(12)]


async def test_renewed_lease_settles_with_its_new_receipt(
    account: Account, queue: QueueClient
) -> None:
    delays: list[float] = []
    receipts: list[str] = []
    renewed = asyncio.Event()

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) > 2:
            renewed.set()
            await asyncio.Event().wait()

    async def function(lease: Lease) -> bool:
        receipts.append(lease.pop_receipt)
        await renewed.wait()
        receipts.append(lease.pop_receipt)
        return True

    pump = Pump(account, queue.queue_name, function=function, sleep=sleep)
    await queue.send_message("long")
    await pump.listener.run()
    assert delays == [300] * 3
    assert receipts[0] != receipts[1]
    assert await length(queue) == 0


async def test_lease_has_the_given_length(account: Account, queue: QueueClient) -> None:
    leased = LeasedQueue(account, queue.queue_name, timedelta(seconds=1))
    await queue.send_message("short")
    first = await leased.receive(1)
    assert first
    async with asyncio.timeout(10):
        while not (again := await leased.receive(1)):
            await asyncio.sleep(0.1)
    assert again[0].message_id == first[0].message_id
    assert again[0].dequeue_count == 2


async def test_settling_waits_for_a_renewal(account: Account, queue: QueueClient) -> None:
    async def sleep(_: float) -> None: ...  # renewals follow each other without a pause

    async def function(_: Lease) -> bool:
        await length(queue)
        return True

    for number in range(16):
        await queue.send_message(str(number))
    pump = Pump(account, queue.queue_name, function=function, sleep=sleep, calls=16)
    await pump.listener.run()
    assert await length(queue) == 0, "a receipt was out of date"


@pytest.mark.parametrize(("is_deleted", "left"), [(True, 0), (False, 1)])
async def test_message_changed_by_function_is_not_settled(
    account: Account,
    queue: QueueClient,
    caplog: pytest.LogCaptureFixture,
    is_deleted: bool,
    left: int,
) -> None:
    async def function(lease: Lease) -> bool:
        message = (lease.message_id, lease.pop_receipt)
        if is_deleted:
            await queue.delete_message(*message)
        else:
            await queue.update_message(*message, visibility_timeout=60)
        return True

    pump = Pump(account, queue.queue_name, function=function)
    await queue.send_message("changed")
    await pump.listener.run()
    assert await length(queue) == left
    assert warnings_of(caplog) == []


async def test_shutdown_waits_for_running_functions(account: Account, queue: QueueClient) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def function(_: Lease) -> bool:
        started.set()
        return await gate.wait()

    pump = Pump(account, queue.queue_name, function=function)
    await queue.send_message("slow")
    pumping = asyncio.create_task(pump.listener.run())
    await started.wait()
    assert await length(queue) == 1
    assert not pumping.done()
    gate.set()
    await pumping
    assert await length(queue) == 0


async def test_cancelled_message_is_not_settled(account: Account, queue: QueueClient) -> None:
    started = asyncio.Event()

    async def function(_: Lease) -> bool:
        started.set()
        return await asyncio.Event().wait()

    pump = Pump(account, queue.queue_name, function=function, calls=-1)
    await queue.send_message("cut off")
    pumping = asyncio.create_task(pump.listener.run())
    await started.wait()
    pumping.cancel()
    await asyncio.wait({pumping})
    assert await length(queue) == 1
    assert await contents(queue) == [], "its lease continues"
