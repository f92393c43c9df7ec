"""opswatch as a poller: its steps and adapters, with a trigger that costs nothing."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from benchmarks.polls.operations import INTERVAL, SCOPE, url_path
from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import InFlight
from opswatch.adapters.storage import AzureQueue, AzureTable
from opswatch.bootstrap import open_services
from opswatch.config import STORAGE, Storage, connection_parts
from opswatch.core.wakeups import WakeUp
from opswatch.ports import Peeked, Queue, Services
from opswatch.rows.messages import OPERATIONS_QUEUE, encode_wake_ups
from opswatch.rows.tables import WATCHES
from opswatch.steps.messages import operations_message
from tests.support.servers import Credential


async def opswatch(arm: str, storage: str, operations: int) -> None:
    """Poll with opswatch: each poll reads a row, sends a message and writes the row."""
    async with AsyncExitStack() as stack:
        env = {STORAGE: storage, "OPSWATCH_ARM_ENDPOINT": arm}
        services = await stack.enter_async_context(open_services(env, create=True))
        # The account as an identity opens it, which is how opswatch is deployed.
        parts = connection_parts(storage)
        uris = Storage(queue_uri=parts["queueendpoint"], table_uri=parts["tableendpoint"])
        account = Account(uris, Credential())
        stack.push_async_callback(account.close)
        polling = HttpArm(arm, SCOPE, Credential())
        stack.push_async_callback(polling.close)
        trigger = _Trigger(AzureQueue(account, OPERATIONS_QUEUE))
        watches = GatheredTable(AzureTable(account, WATCHES), WATCHES, InFlight())
        store = replace(services.store, watches=watches)
        trigger.services = replace(services, store=store, operations=trigger, arm=polling)
        for number in range(operations):
            await operations_message(trigger.services, f"{arm}{url_path(number)}".encode())
            await asyncio.sleep(INTERVAL / operations)
        await asyncio.Event().wait()


class _Trigger:
    """A queue that starts the function for each message when it is due, as the host does.

    The host receives and deletes messages too; it is not written in Python, and is left out.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._running: set[asyncio.Task[None]] = set()
        self.services: Services

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        await self._queue.send(body, delay)
        running = asyncio.create_task(self._run(body, delay.total_seconds()))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        for body in encode_wake_ups([wake]):
            await self.send(body, delay)

    async def _run(self, body: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await operations_message(self.services, body)

    async def peek(self) -> Peeked | None:
        return await self._queue.peek()

    async def depth(self) -> int:
        return await self._queue.depth()
