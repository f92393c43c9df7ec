"""Services over an empty account: the app creates what is missing once, the terminal nothing."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from opswatch.bootstrap import open_services
from opswatch.core.http import HttpResponse
from opswatch.health import Check, check_all
from opswatch.local.azurite import Azurite, running_azurite
from opswatch.process import Process
from opswatch.queries import OperationFilter, get_operation, list_operations
from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES
from opswatch.testing import MemoryArm
from tests.support.harness import KEY


@pytest.fixture(scope="module")
def own_azurite() -> Iterator[Azurite]:
    """An emulator for these tests only: the shared one has what other tests created."""
    with running_azurite() as emulator:
        yield emulator


@pytest.fixture
async def env(own_azurite: Azurite) -> dict[str, str]:
    """The settings of an account without queues and tables."""
    connection = own_azurite.connection_string
    async with (
        QueueServiceClient.from_connection_string(connection) as queues,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        for queue in [queue.name async for queue in queues.list_queues()]:
            await queues.delete_queue(queue)
        for table in [table.name async for table in tables.list_tables()]:
            await tables.delete_table(table)
    return {"AzureWebJobsStorage": connection}


async def names_in(env: dict[str, str]) -> set[str]:
    """Return the names of all queues and tables of the account."""
    connection = env["AzureWebJobsStorage"]
    async with (
        QueueServiceClient.from_connection_string(connection) as queues,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        return {queue.name async for queue in queues.list_queues()} | {
            table.name async for table in tables.list_tables()
        }


async def checks_over(env: dict[str, str], *, create: bool) -> list[Check]:
    async with open_services(env, create=create) as services:
        arm = MemoryArm(lambda _: HttpResponse(404, {}))
        return [check async for check in check_all(replace(services, arm=arm))]


async def test_checks_create_nothing(env: dict[str, str]) -> None:
    checks = await checks_over(env, create=False)
    assert await names_in(env) == set()
    assert checks[1] == Check(topic="storage", is_good=True, text="reachable (404)")
    missing = "does not exist: the app creates it when it starts"
    assert [(check.topic, check.text) for check in checks if not check.is_good][1:] == [
        *(("queue", f"{name}: {missing}") for name in QUEUES),
        *(("table", f"{name}: {missing}") for name in TABLES),
    ]
    poison = [check for check in checks if check.topic == "poison"]
    assert [check.is_good for check in poison] == [True, True]  # the host creates them when needed


async def test_reading_creates_nothing(env: dict[str, str]) -> None:
    async with open_services(env) as services:
        with pytest.raises(ResourceNotFoundError):
            await list_operations(
                services.store, OperationFilter(since=datetime.now(UTC)), datetime.now(UTC)
            )
        with pytest.raises(HttpResponseError, match="404 TableNotFound"):
            await get_operation(services.store, KEY)
        assert all([await poison.take() == [] for poison in services.poison])
    assert await names_in(env) == set()


async def test_created_storage_passes_every_check(env: dict[str, str]) -> None:
    checks = await checks_over(env, create=True)
    assert await names_in(env) == {*QUEUES, *TABLES}
    assert [check.topic for check in checks if not check.is_good] == ["secret"]


async def test_process_creates_missing_storage_once(env: dict[str, str]) -> None:
    process = Process(env)
    assert await names_in(env) == set()
    await asyncio.gather(*(process.services() for _ in range(5)))
    assert await names_in(env) == {*QUEUES, *TABLES}
    connection = env["AzureWebJobsStorage"]
    async with QueueServiceClient.from_connection_string(connection) as queues:
        await queues.delete_queue(QUEUES[0])
    await process.services()
    assert QUEUES[0] not in await names_in(env)  # a second creation would bring it back
