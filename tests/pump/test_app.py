"""The app in the real language worker, pumped by Microsoft's queue listener over Azurite."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import pairwise

import pytest
from azure.core.exceptions import ResourceNotFoundError

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.config import Storage
from opswatch.core.watches import FinalStatus
from opswatch.local.azurite import Azurite, running_azurite
from opswatch.local.demo.cases import rejected_cases, start_cases
from opswatch.local.demo.progress import ProgressReader
from opswatch.local.demo.receiver import Receiver
from opswatch.local.demo.run import app_settings
from opswatch.local.simulator import SCRIPTS, Simulator, StartedOperation
from opswatch.ports import Query
from opswatch.rows.messages import OPERATIONS_QUEUE, QUEUES
from opswatch.rows.tables import RESULTS
from tests.pump.app import HOST_JSON, pumped_app
from tests.pump.pumps import ABSENT, IS_ABSENT, Arrival, listener_pump

pytestmark = [
    pytest.mark.skipif(IS_ABSENT, reason=ABSENT),
    pytest.mark.skipif(
        sys.version_info < (3, 13), reason="azure-functions-runtime exists from Python 3.13 on"
    ),
]
PATIENCE = 100.0  # seconds, as in the demo
QUIET = 0.5  # seconds
BATCH = HOST_JSON["extensions"]["queues"]["batchSize"]


class Surroundings:
    """Everything around the app: storage, ARM and a receiver."""

    def __init__(self, azurite: Azurite, arm: Simulator, receiver: Receiver) -> None:
        self.azurite, self.arm, self.receiver = azurite, arm, receiver
        self.env = app_settings(azurite.connection_string, arm, receiver)
        self.account = Account(Storage.from_env(self.env))
        self.operations = self.account.queue(OPERATIONS_QUEUE)

    async def post(self, count: int) -> list[StartedOperation]:
        """Start operations of a second, and post them."""
        scenario = SCRIPTS["succeeded"].with_duration(timedelta(seconds=1))
        started = [self.arm.start(scenario) for _ in range(count)]
        for operation in started:
            await self.operations.send_message(operation.url, time_to_live=-1)
        return started

    async def length(self, queue: str) -> int | None:
        """Return the number of messages, including the hidden ones; None without the queue."""
        try:
            properties = await self.account.queue(queue).get_queue_properties()
        except ResourceNotFoundError:
            return None
        return properties.approximate_message_count

    async def emptied(self) -> None:
        """Return when nothing is left in the queues."""
        async with asyncio.timeout(PATIENCE):
            while any([await self.length(queue) for queue in QUEUES]):
                await asyncio.sleep(0.05)

    async def called_back(self, started: list[StartedOperation]) -> None:
        """Return when the receiver was called about each operation."""
        async with asyncio.timeout(PATIENCE):
            while len(self.receiver.received) < len(started):
                await asyncio.sleep(0.05)
        assert all(post.event for post in self.receiver.received)

    async def ends(self) -> Mapping[str, FinalStatus]:
        """Return the end of each operation by its ID."""
        table = AzureTable(self.account, RESULTS)
        return {
            row.value.facts.operation.operation_id: row.value.end.status
            async for row in table.find(Query())
        }


@pytest.fixture
async def around() -> AsyncIterator[Surroundings]:
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())  # `operations` has one reader
        arm = await stack.enter_async_context(Simulator(seed=2024))
        receiver = await stack.enter_async_context(Receiver())
        surroundings = Surroundings(azurite, arm, receiver)
        stack.push_async_callback(surroundings.account.close)
        yield surroundings


async def test_demo_comes_to_the_same_ends(around: Surroundings) -> None:
    connection = around.azurite.connection_string
    async with pumped_app(around.env) as app:
        await app.repair()
        async with listener_pump(connection, HOST_JSON, app.handle, *app.queues):
            cases = [*start_cases(around.arm, around.receiver.url), *rejected_cases()]
            for case in cases:
                await around.operations.send_message(case.body.decode(), time_to_live=-1)
            reader = ProgressReader(around.account, around.receiver)
            progress = await reader.read(cases)
            async with asyncio.timeout(PATIENCE):
                while not all(current.is_settled for current in progress):
                    await asyncio.sleep(0.25)
                    progress = await reader.read(cases)
            await around.emptied()
    assert len(cases) == 40
    assert [
        (case.name, case.form, current)
        for case, current in zip(cases, progress, strict=True)
        if not current.is_expected
    ] == []
    assert all(post.event for post in around.receiver.received), "a wrong signature"
    assert all(succeeded for _, succeeded in app.handled)
    for queue in QUEUES:
        assert await around.length(f"{queue}-poison") is None


async def test_batch_is_handled_at_once_and_drained(around: Surroundings) -> None:
    connection = around.azurite.connection_string
    arrived = asyncio.Barrier(BATCH + 1)
    gate = asyncio.Event()

    async with pumped_app(around.env) as app:
        await app.repair()
        started = await around.post(BATCH)

        async def hold(arrival: Arrival) -> bool:
            await arrived.wait()
            await gate.wait()
            return await app.handle(arrival)

        async with listener_pump(connection, HOST_JSON, hold, *app.queues) as pump:
            async with asyncio.timeout(PATIENCE):
                await arrived.wait()  # the whole batch is under way
            draining = asyncio.create_task(pump.drain())
            done, _ = await asyncio.wait({draining}, timeout=QUIET)
            assert not done, "the listener has not waited for its functions"
            gate.set()
            await draining
        assert [succeeded for _, succeeded in app.handled] == [True] * BATCH

        async with listener_pump(connection, HOST_JSON, app.handle, *app.queues):
            await around.called_back(started)
            await around.emptied()  # nothing is left under the lease of the first listener
    assert await around.ends() == dict.fromkeys(
        (operation.id for operation in started), FinalStatus.SUCCEEDED
    )


async def test_poisoned_post_is_registered_by_the_repair(around: Surroundings) -> None:
    connection = around.azurite.connection_string
    poison = f"{OPERATIONS_QUEUE}-poison"
    queues = HOST_JSON["extensions"]["queues"] | {"visibilityTimeout": "00:00:01"}
    host_json = {**HOST_JSON, "extensions": {"queues": queues}}
    await around.operations.create_queue()
    (started,) = await around.post(1)
    runs: list[Arrival] = []

    async def fail(arrival: Arrival) -> bool:
        runs.append(arrival)
        return False

    async with (
        listener_pump(connection, host_json, fail, OPERATIONS_QUEUE),
        asyncio.timeout(PATIENCE),
    ):
        while await around.length(poison) != 1 or await around.length(OPERATIONS_QUEUE):
            await asyncio.sleep(0.05)
    assert [run.dequeue_count for run in runs] == [1, 2, 3, 4, 5]
    assert all(later.at - earlier.at > 0.9 for earlier, later in pairwise(runs)), "too soon"

    async with pumped_app(around.env) as app:
        await app.repair()
        assert await around.length(poison) == 0
        async with listener_pump(connection, HOST_JSON, app.handle, *app.queues):
            await around.called_back([started])
    assert await around.ends() == {started.id: FinalStatus.SUCCEEDED}
