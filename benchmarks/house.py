"""The delivering half of the app over a storage in memory: for benchmarks, in real time."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TypeVar

import aiohttp

from opswatch.adapters.callbacks import HttpCallbacks, open_socket
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.deliveries import Delivery, new_delivery
from opswatch.core.http import HttpResponse
from opswatch.core.keys import Key, WakeUp, operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.watches import End, FinalStatus, Result
from opswatch.local.host.leases import LEASE, Lease
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import QueueSettings
from opswatch.local.host.shutdown import Shutdown
from opswatch.ports import Row, Sent, Services
from opswatch.rows.messages import DELIVERIES_QUEUE
from opswatch.rows.tables import DELIVERIES, HOSTS, OUTBOX, RESULTS
from opswatch.steps.messages import deliveries_message
from opswatch.testing import MemoryArm, MemoryQueue, MemoryStore, MemoryTable
from tests.support.harness import ENDPOINT, make_services, status_path

T = TypeVar("T")
_LATENCY = 0.003  # seconds of each call to the storage
_LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))
_HOST = QueueSettings(  # as host.json has it
    batch_size=32,
    new_batch_threshold=224,
    visibility_timeout=timedelta(seconds=10),
    max_polling_interval=timedelta(seconds=2),
    base64=False,
)


class House:
    """A world whose operations have all ended, and who was called."""

    def __init__(
        self, services: Services, store: MemoryStore, queue: "_SlowQueue", opened: Counter[int]
    ) -> None:
        self.services = services
        self._store = store
        self._queue = queue
        self._opened = opened
        self._owed = 0

    async def owe_all(self, urls: Sequence[str], seconds: float) -> None:
        """Owe each of `urls` the end of an operation, one after another over `seconds`."""
        self._owed += len(urls)
        async with asyncio.TaskGroup() as owing:
            for number, url in enumerate(urls):
                after = seconds * number / len(urls)
                owing.create_task(owe_one(self.services, number, url, after))

    async def lags(self, url: str) -> list[float]:
        """Return how long the settled deliveries to `url` took, in seconds."""
        return [
            (delivery.delivered_at - delivery.started_at).total_seconds()
            for delivery in self._store.deliveries.values()
            if delivery.callback_url == url and delivery.delivered_at
        ]

    def waits(self) -> int:
        """Return how often a delivery was sent away."""
        return self._queue.sent - self._owed

    @property
    def connections(self) -> int:
        """How many connections were begun, to whatever host."""
        return self._opened.total()


async def owe_one(services: Services, number: int, url: str, after: float = 0) -> None:
    """Owe `url` the end of the operation `number`, `after` seconds from now."""
    await asyncio.sleep(after)
    result = _ended(number, services.clock())
    delivery = new_delivery(result.operation.key, url, result.end.finished_at, services.policy)
    await services.store.results.insert(result)
    await services.store.outbox.insert(delivery)
    await services.deliveries.send(wake_up_message(WakeUp(delivery.key, delivery.seq)))


async def clutter(services: Services, count: int) -> None:
    """Leave `count` messages in the queue that are not due."""
    for number in range(count):
        await services.deliveries.send(
            wake_up_message(WakeUp(Key("p", f"{number}"), 1)), timedelta(hours=1)
        )


@asynccontextmanager
async def open_house() -> AsyncIterator[House]:
    """Yield a house whose deliveries are pumped as the Functions host pumps them."""
    opened: Counter[int] = Counter()

    def counted(address: aiohttp.AddrInfoType) -> socket.socket:
        opened[int(address[4][1])] += 1
        return open_socket(address)

    queue, store, stop = _SlowQueue(_now), _slow_store(), Shutdown()
    callbacks = HttpCallbacks(_LOOPBACK, open_socket=counted)
    services = make_services(
        operations=MemoryQueue(_now),
        deliveries=queue,
        arm=MemoryArm(lambda _: HttpResponse(500, {})),
        clock=_now,
        store=store,
        callbacks=callbacks,
        policy=Policy(),
    )

    async def run(_: Lease, body: str) -> bool:
        await deliveries_message(services, body.encode())
        return True

    leases = _Leases(queue)
    listener = QueueListener(leases, _HOST, run, stop)  # type: ignore[arg-type]  # a twin
    pumping = asyncio.create_task(listener.run())
    try:
        yield House(services, store, queue, opened)
    finally:
        pumping.cancel()
        await asyncio.wait({pumping})
        await callbacks.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _ended(number: int, now: datetime) -> Result:
    return Result(
        operation=operation_from_url(f"{ENDPOINT}{status_path(f'op{number}')}?api-version=1"),
        registered_at=now,
        deadline_at=now,
        end=End(status=FinalStatus.SUCCEEDED, finished_at=now),
    )


class _SlowTable(MemoryTable[T]):
    async def get(self, key: Key) -> Row[T] | None:
        await asyncio.sleep(_LATENCY)
        return await super().get(key)

    async def insert(self, value: T) -> Row[T] | None:
        await asyncio.sleep(_LATENCY)
        return await super().insert(value)

    async def replace(self, value: T, version: str) -> Row[T] | None:
        await asyncio.sleep(_LATENCY)
        return await super().replace(value, version)

    async def delete(self, key: Key, version: str | None = None) -> bool:
        await asyncio.sleep(_LATENCY)
        return await super().delete(key, version)


def _slow_store() -> MemoryStore:
    return MemoryStore(
        results=_SlowTable[Result](RESULTS),
        outbox=_SlowTable[Delivery](OUTBOX),
        deliveries=_SlowTable[Delivery](DELIVERIES),
        hosts=_SlowTable[Host](HOSTS),
    )


class _SlowQueue(MemoryQueue):
    sent = 0

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        self.sent += 1
        await asyncio.sleep(_LATENCY)
        return await super().send(wake, delay)


class _Leases:
    """A queue in memory as the trigger uses it."""

    name = DELIVERIES_QUEUE
    lease = LEASE

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue

    async def receive(self, most: int) -> list[Lease]:
        await asyncio.sleep(_LATENCY)
        return [
            Lease(
                message_id=message.message_id,
                pop_receipt=message.receipt,
                text=message.body.decode(),
                dequeue_count=message.dequeue_count,
                times={},
            )
            for message in self._queue.receive(LEASE, most)
        ]

    async def delete(self, lease: Lease) -> None:
        await asyncio.sleep(_LATENCY)
        self._queue.delete(Sent(lease.message_id, lease.pop_receipt))

    async def release(self, lease: Lease, delay: timedelta) -> None:
        self._queue.release(Sent(lease.message_id, lease.pop_receipt), delay)

    async def poison(self, lease: Lease) -> None:
        await self.delete(lease)

    async def renew(self, lease: Lease) -> None: ...
