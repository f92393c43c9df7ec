"""Behaviour that only a real account has: pages, lost answers, limits, missing queues."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.adapters.rest import is_repeated
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.adapters.transactions import Change, TransactionConflictError
from opswatch.config import Storage, development_storage
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.local.azurite import Azurite
from opswatch.ports import Query
from opswatch.rows.messages import decode_message
from opswatch.rows.tables import OUTBOX, WATCHES
from tests.support.builders import NOW, delivery, operation, watch
from tests.support.harness import wake_up_message

WAKE = WakeUp(key=Key("subscription", "row"), seq=1)


@pytest.fixture
async def account(azurite: Azurite) -> AsyncIterator[Account]:
    account = Account(Storage(connection_string=azurite.connection_string))
    yield account
    await account.close()


@pytest.fixture
async def queue(account: Account) -> QueueClient:
    """The SDK's client of a queue."""
    client = account.queue(f"q{uuid4().hex}")
    await client.create_queue()
    return client


async def test_rows_of_several_pages_are_all_found(account: Account) -> None:
    client = account.table(f"t{uuid4().hex}")
    await client.create_table()
    rows = [OUTBOX.encode(delivery(key=Key("p", f"{n:04}"))) for n in range(1100)]
    for first in range(0, len(rows), 100):
        await client.submit_transaction([("create", row) for row in rows[first : first + 100]])
    table = AzureTable(account, OUTBOX, client.table_name)
    found = [row.value.key.row async for row in table.find(Query(partition="p"))]
    assert found == [f"{n:04}" for n in range(1100)]


async def test_missing_queues_and_tables_are_created(account: Account) -> None:
    queues = [f"q{uuid4().hex}" for _ in range(2)]
    tables = [f"t{uuid4().hex}" for _ in range(2)]
    await account.queue(queues[0]).create_queue()
    await account.table(tables[0]).create_table()
    await create_missing(account, queues, tables)
    await create_missing(account, queues, tables)
    for queue in queues:
        await AzureQueue(account, queue).send(wake_up_message(WAKE))
    for table in tables:
        assert await AzureTable(account, WATCHES, table).insert(watch())


async def test_message_never_expires(account: Account, queue: QueueClient) -> None:
    await AzureQueue(account, queue.queue_name).send(wake_up_message(WAKE))
    (message,) = [message async for message in queue.receive_messages()]
    assert message.content.encode() == wake_up_message(WAKE)
    assert message.expires_on is not None
    assert message.expires_on.year == 9999


async def test_message_holds_64_kib(account: Account, queue: QueueClient) -> None:
    empty = len(wake_up_message(WakeUp(key=WAKE.key, seq=1, traceparent="")))
    full = WakeUp(key=WAKE.key, seq=1, traceparent="x" * (64 * 1024 - empty))
    assert len(wake_up_message(full)) == 64 * 1024
    await AzureQueue(account, queue.queue_name).send(wake_up_message(full))
    (message,) = [message async for message in queue.receive_messages()]
    assert decode_message(message.content.encode()) == (full,)
    with pytest.raises(HttpResponseError):
        await AzureQueue(account, queue.queue_name).send(
            wake_up_message(WakeUp(key=WAKE.key, seq=1, traceparent=f"{full.traceparent}x"))
        )


async def test_missing_poison_queue_is_empty(account: Account) -> None:
    poison = AzurePoisonQueue(account, f"q{uuid4().hex}")
    assert await poison.take() == []
    assert await poison.depth() == 0


@pytest.mark.parametrize(
    "body", ["{nonsense", base64.b64encode(b'{"id": "x"}').decode(), "<&>é\U0001f600", " x "]
)
async def test_poisoned_message_is_taken_unchanged(
    account: Account, queue: QueueClient, body: str
) -> None:
    await queue.send_message(body)
    (poisoned,) = await AzurePoisonQueue(account, queue.queue_name).take()
    assert poisoned.body == body.encode()


# --- lost answers


@dataclass
class LossyProxy:
    """Forwards each request to the storage, and drops the answer to the first write."""

    to_port: int
    lost: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sender = await asyncio.open_connection("127.0.0.1", self.to_port)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                sender.write(head + await reader.readexactly(_length(head)))
                answer = await upstream.readuntil(b"\r\n\r\n")
                answer += await _body(upstream, answer)
                if not head.startswith(b"GET") and not self.lost:
                    self.lost += 1
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            sender.close()


def _length(head: bytes) -> int:
    found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"chunked" not in head.lower():
        return await reader.readexactly(_length(head))
    body = b""
    while not body.endswith(b"0\r\n\r\n"):
        body += await reader.readuntil(b"\r\n")
    return body


@pytest.fixture
async def lossy_account(azurite: Azurite) -> AsyncIterator[Account]:
    """The account behind a proxy that drops the answer to each service's first write."""
    async with AsyncExitStack() as stack:
        ports = {}
        for service in ("queue", "table"):
            proxy = LossyProxy(azurite.ports[service])
            server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
            stack.callback(server.close)
            ports[service] = server.sockets[0].getsockname()[1]
        account = Account(Storage(connection_string=development_storage(ports)))
        stack.push_async_callback(account.close)
        account._queues = replace(account.queues, pauses=(0, 0))
        account._tables = replace(account.tables, pauses=(0, 0))
        yield account


@pytest.fixture
async def table(account: Account, lossy_account: Account) -> AzureTable[Any]:
    """A table with one row, and a connection that drops the answer to its first write."""
    name = f"t{uuid4().hex}"
    await create_missing(account, [], [name])
    await AzureTable(account, WATCHES, name).insert(watch())
    return AzureTable(lossy_account, WATCHES, name)


async def test_insert_with_a_lost_answer_succeeds(table: AzureTable[Any]) -> None:
    other = watch(operation=operation("https://management.azure.com/subscriptions/s/operations/x"))
    written = await table.insert(other)
    assert written is not None
    assert await table.get(other.key) == written


async def test_replacement_with_a_lost_answer_succeeds(table: AzureTable[Any]) -> None:
    before = await table.get(watch().key)
    assert before is not None
    changed = watch(seq=2, last_polled_at=NOW, percent_complete=0.1)
    written = await table.replace(changed, before.etag)
    assert written is not None
    assert written.value == changed
    assert await table.get(changed.key) == written


@pytest.mark.parametrize("others", [0, 1])
async def test_transaction_with_a_lost_answer_conflicts_with_itself(
    table: AzureTable[Any], account: Account, others: int
) -> None:
    other = replace(operation(), key=Key(watch().key.partition, "other"))
    direct = AzureTable(account, WATCHES, table.name)
    rows = [await direct.get(watch().key), await direct.insert(watch(operation=other))]
    changes = [
        Change(key=row.value.key, etag=row.etag, entity={"seq": 2}, merges=True)
        for row in rows[: 1 + others]
        if row is not None
    ]
    with pytest.raises(TransactionConflictError) as raised:
        await table.transact(changes)
    assert is_repeated(raised.value)
    assert raised.value.index == 0
    read = [await table.get(change.key) for change in changes]
    assert [row.value.seq for row in read if row] == [2] * len(changes)


async def test_removal_with_a_lost_answer_succeeds(table: AzureTable[Any]) -> None:
    before = await table.get(watch().key)
    assert before is not None
    assert await table.delete(watch().key, before.etag)
    assert await table.get(watch().key) is None


async def test_message_with_a_lost_answer_is_sent_twice(
    lossy_account: Account, queue: QueueClient
) -> None:
    name = queue.queue_name
    await AzureQueue(lossy_account, name).send(wake_up_message(WAKE))
    assert await AzureQueue(lossy_account, name).depth() == 2
