"""opswatch as a poller: its steps and adapters, with a trigger that costs nothing."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from benchmarks.polls.operations import INTERVAL, SCOPE, AsyncCredential, status_path
from opswatch import steps
from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.storage import AzureQueue, AzureTable
from opswatch.bootstrap import open_services
from opswatch.config import STORAGE, Storage, connection_parts
from opswatch.core.keys import WakeUp
from opswatch.ports import Queue, Sent, Services
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.rows.tables import WATCHES
from tests.support.harness import wake_up_message


async def opswatch(arm: str, storage: str, operations: int) -> None:
    """Poll with opswatch: each poll reads a row, sends a message and writes the row."""
    async with AsyncExitStack() as stack:
        env = {STORAGE: storage, "OPSWATCH_ARM_ENDPOINT": arm}
        made = await stack.enter_async_context(open_services(env))
        account = _by_identity(storage)
        stack.push_async_callback(account.close)
        trigger = _Trigger(AzureQueue(account, OPERATIONS_QUEUE))
        polling = HttpArm(arm, SCOPE, AsyncCredential())
        stack.push_async_callback(polling.close)
        watches = AzureTable(account, WATCHES)
        store = replace(made.store, watches=watches)
        trigger.services = replace(made, store=store, operations=trigger, arm=polling)
        for number in range(operations):
            await steps.operations_message(trigger.services, f"{arm}{status_path(number)}".encode())
            await asyncio.sleep(INTERVAL / operations)
        await asyncio.Event().wait()


def _by_identity(connection_string: str) -> Account:
    """Return the account as an identity opens it, which is how opswatch is deployed."""
    parts = connection_parts(connection_string)
    uris = Storage(queue_uri=parts["queueendpoint"], table_uri=parts["tableendpoint"])
    return Account(uris, AsyncCredential())


class _Trigger:
    """A queue that starts the function for each message once it is due, as the host does.

    What the host does for it, which is no Python, is left out: to receive, and to delete.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._running: set[asyncio.Task[None]] = set()
        self.services: Services

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        sent = await self._queue.send(wake, delay)
        running = asyncio.create_task(self._run(wake, delay.total_seconds()))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return sent

    async def _run(self, wake: WakeUp, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await steps.operations_message(self.services, wake_up_message(wake).encode())

    async def take_back(self, sent: Sent) -> None:
        await self._queue.take_back(sent)

    async def depth(self) -> int:
        return await self._queue.depth()
