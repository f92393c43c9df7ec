"""What only a real account can show: pages, lost answers, limits, queues that are missing."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableClient
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account, environment_proxies
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.config import Storage
from opswatch.core import wire
from opswatch.core.model import Key, WakeUp
from opswatch.core.wire import wake_up_text
from opswatch.local.azurite import Azurite
from opswatch.ports import Where
from tests.core.builders import NOW, delivery, operation, watch

WAKE = WakeUp(Key("subscription", "row"), 1)


@pytest.fixture
async def account(azurite: Azurite) -> AsyncIterator[Account]:
    account = Account(Storage(connection_string=azurite.connection_string))
    yield account
    await account.close()


@pytest.fixture
async def queue(account: Account) -> QueueClient:
    client = account.queue(f"q{uuid4().hex}")
    await client.create_queue()
    return client


async def test_more_rows_than_a_page_holds_are_all_found(account: Account) -> None:
    client = account.table(f"t{uuid4().hex}")
    await client.create_table()
    rows = [wire.OUTBOX.row(delivery(key=Key("p", f"{n:04}"))) for n in range(1100)]
    for first in range(0, len(rows), 100):
        await client.submit_transaction([("create", row) for row in rows[first : first + 100]])
    table = AzureTable(client, wire.OUTBOX)
    found = [row.noun.key.row async for row in table.find(Where(partition="p"))]
    assert found == [f"{n:04}" for n in range(1100)]
    assert len([due async for due in table.due_times()]) == 1100


async def test_queues_and_tables_are_made_where_they_are_missing(account: Account) -> None:
    queues = [account.queue(f"q{uuid4().hex}") for _ in range(2)]
    tables = [account.table(f"t{uuid4().hex}") for _ in range(2)]
    await queues[0].create_queue()
    await tables[0].create_table()
    await create_missing(queues, tables)
    await create_missing(queues, tables)
    for queue in queues:
        await AzureQueue(queue).send(WAKE)
    for table in tables:
        assert await AzureTable(table, wire.WATCHES).get(WAKE.key) is None


async def test_a_message_lives_for_ever(queue: QueueClient) -> None:
    await AzureQueue(queue).send(WAKE)
    (message,) = [message async for message in queue.receive_messages()]
    assert message.content == wake_up_text(WAKE)
    assert message.expires_on is not None
    assert message.expires_on.year == 9999


async def test_a_message_has_room_for_64_kib(queue: QueueClient) -> None:
    empty = len(wake_up_text(WakeUp(WAKE.key, 1, "")))
    full = WakeUp(WAKE.key, 1, "x" * (64 * 1024 - empty))
    assert len(wake_up_text(full)) == 64 * 1024
    await AzureQueue(queue).send(full)
    (message,) = [message async for message in queue.receive_messages()]
    assert wire.wake_up_from(message.content.encode()) == full
    with pytest.raises(HttpResponseError):
        await AzureQueue(queue).send(WakeUp(WAKE.key, 1, f"{full.traceparent}x"))


async def test_a_poison_queue_that_is_not_there_is_empty(account: Account) -> None:
    poison = AzurePoisonQueue(account.queue(f"q{uuid4().hex}"))
    assert await poison.take() == []
    assert await poison.depth() == 0


@pytest.mark.parametrize(
    "body", ["{nonsense", base64.b64encode(b'{"id": "x"}').decode(), "<&>é\U0001f600", " x "]
)
async def test_a_poisoned_message_is_taken_as_it_is(queue: QueueClient, body: str) -> None:
    await queue.send_message(body)
    (poisoned,) = await AzurePoisonQueue(queue).take()
    assert poisoned.body == body.encode()


# --- answers that get lost


class Forgetful(AioHttpTransport):  # type: ignore[misc]  # untyped where aiohttp is optional
    """Carries each request out, and loses the answer to the first that writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    async def send(self, request: Any, **options: Any) -> Any:
        response = await super().send(request, **options)
        if request.method == "GET" or self.lost:
            return response
        self.lost += 1
        raise ServiceResponseError("the connection was closed")


@pytest.fixture
async def forgetful() -> AsyncIterator[dict[str, Any]]:
    """Options of a client whose first answer gets lost, and that repeats at once."""
    async with Forgetful() as transport:
        yield {
            "transport": transport,
            "proxies": environment_proxies("http://127.0.0.1"),
            "retry_backoff_factor": 0,
            "initial_backoff": 0,
            "increment_base": 0,
            "random_jitter_range": 0,
        }
        assert transport.lost == 1


@pytest.fixture
async def name(account: Account) -> str:
    """A table with one row."""
    name = f"t{uuid4().hex}"
    client = account.table(name)
    await client.create_table()
    await AzureTable(client, wire.WATCHES).insert(watch())
    return name


@pytest.fixture
async def table(
    azurite: Azurite, name: str, forgetful: dict[str, Any]
) -> AsyncIterator[AzureTable[Any]]:
    client = TableClient.from_connection_string(azurite.connection_string, name, **forgetful)
    async with client:
        yield AzureTable(client, wire.WATCHES)


async def test_an_insert_whose_answer_is_lost_succeeds_when_it_is_tried_again(
    table: AzureTable[Any],
) -> None:
    """The SDK does not repeat a POST: the function fails, and its message comes again."""
    other = watch(operation=operation("https://management.azure.com/subscriptions/s/operations/x"))
    with pytest.raises(ServiceResponseError):
        await table.insert(other)
    written = await table.insert(other)
    assert written is not None
    assert await table.get(other.key) == written


async def test_a_replacement_whose_answer_is_lost_has_succeeded(table: AzureTable[Any]) -> None:
    before = await table.get(watch().key)
    assert before is not None
    changed = watch(seq=2, last_polled_at=NOW, percent_complete=0.1)
    written = await table.replace(changed, before.version)
    assert written is not None
    assert written.noun == changed
    assert await table.get(changed.key) == written


async def test_a_removal_whose_answer_is_lost_has_succeeded(table: AzureTable[Any]) -> None:
    before = await table.get(watch().key)
    assert before is not None
    assert await table.delete(watch().key, before.version)
    assert await table.get(watch().key) is None


async def test_a_message_whose_answer_is_lost_is_sent_twice(
    azurite: Azurite, queue: QueueClient, forgetful: dict[str, Any]
) -> None:
    client = QueueClient.from_connection_string(
        azurite.connection_string, queue.queue_name, **forgetful
    )
    async with client:
        sent = await AzureQueue(client).send(WAKE)
        await AzureQueue(client).take_back(sent)
    assert await AzureQueue(queue).depth() == 1
