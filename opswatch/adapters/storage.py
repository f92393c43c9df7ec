"""Azure Storage behind the ports: tables, queues, and making them where they are missing."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from html import escape, unescape
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from opswatch.adapters.account import Account
from opswatch.adapters.entities import entity_from, row_from
from opswatch.adapters.rest import NO_HEADERS
from opswatch.core.model import Key, WakeUp
from opswatch.core.timestamps import whole_seconds
from opswatch.core.wire import Codec, wake_up_text
from opswatch.ports import Poisoned, Sent, Versioned, Where

T = TypeVar("T")
_JSON = {"Content-Type": "application/json"}
_XML = {"Content-Type": "application/xml"}
_QUIETLY = {"Prefer": "return-no-content"}
_FOR_EVER = -1  # a message's time to live
_POISON_BATCH, _POISON_LEASE = 32, 60


class AzureTable(Generic[T]):
    """A table of Azure Table Storage.

    A write whose answer got lost is repeated, and then meets its own row: so a conflict with a row
    that says just what was to be written is a success.
    """

    def __init__(self, account: Account, codec: Codec[T], name: str | None = None) -> None:
        self._account = account
        self._codec = codec
        self._name = name or codec.table

    async def get(self, key: Key) -> Versioned[T] | None:
        """Return the row, or None where there is none."""
        try:
            answer = await self._account.tables.call("GET", self._path(key))
        except ResourceNotFoundError:
            return None
        return Versioned(self._codec.read(row_from(answer.body)), answer.headers["ETag"])

    async def insert(self, noun: T) -> Versioned[T] | None:
        """Write a new row; return None, changing nothing, where another one stands already."""
        try:
            return await self._write("POST", self._name, noun, _QUIETLY)
        except ResourceExistsError:
            return await self._if_same(noun)

    async def replace(self, noun: T, version: str) -> Versioned[T] | None:
        """Write over the row that has `version`; return None where it has changed or is gone."""
        path = self._path(self._codec.key(noun))
        try:
            return await self._write("PUT", path, noun, {"If-Match": version})
        except ResourceModifiedError:
            return await self._if_same(noun)
        except ResourceNotFoundError:
            return None

    async def put(self, noun: T) -> None:
        """Write the row, whatever stands there."""
        await self._write("PUT", self._path(self._codec.key(noun)), noun)

    async def delete(self, key: Key, version: str | None = None) -> bool:
        """Remove the row, if it has `version` where one is given; return False if it has not."""
        condition = {"If-Match": version or "*"}
        try:
            await self._account.tables.call("DELETE", self._path(key), headers=condition)
        except ResourceModifiedError:
            return False
        except ResourceNotFoundError:
            return True
        return True

    async def find(self, where: Where) -> AsyncIterator[Versioned[T]]:
        """Yield the rows that `where` selects, in the order of their keys."""
        text, parameters = _filter(where, self._codec.due)
        rows = self._account.table(self._name).query_entities(text, parameters=parameters)
        async for row in rows:
            yield Versioned(self._codec.read(row), row.metadata["etag"] or "")

    async def due_times(self) -> AsyncIterator[datetime]:
        """Yield since when each row of a live table is due, or will be; read nothing else of it."""
        rows = self._account.table(self._name).list_entities(select=self._codec.due_columns)
        async for row in rows:
            yield self._codec.due_since(row)

    async def _write(
        self, method: str, path: str, noun: T, headers: Mapping[str, str] = NO_HEADERS
    ) -> Versioned[T]:
        body = entity_from(self._codec.row(noun))
        answer = await self._account.tables.call(
            method, path, body=body, headers={**_JSON, **headers}
        )
        return Versioned(noun, answer.headers["ETag"])

    async def _if_same(self, noun: T) -> Versioned[T] | None:
        """Compare rows, not nouns: a row may say less, such as milliseconds."""
        row = self._codec.row(noun)
        standing = await self.get(self._codec.key(noun))
        if standing is None or self._codec.row(standing.noun) != row:
            return None
        return standing

    def _path(self, key: Key) -> str:
        partition, row = _quoted(key.partition), _quoted(key.row)
        return f"{self._name}(PartitionKey='{partition}',RowKey='{row}')"


def _quoted(text: str) -> str:
    """Return a key as it stands between the apostrophes of a URL."""
    return quote(text.replace("'", "''"), safe="")


def _filter(where: Where, due: str) -> tuple[str, dict[str, Any]]:
    """Return the OData filter of `where`, and its parameters."""
    conditions = {
        "PartitionKey eq @partition": where.partition,
        "PartitionKey lt @partition_before": where.partition_before,
        "RowKey ge @row_prefix": where.row_prefix,
        "RowKey lt @after_prefix": where.row_prefix and after_prefix(where.row_prefix),
        f"{due} lt @due_before": where.due_before,
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    return " and ".join(given), {text.rpartition("@")[2]: value for text, value in given.items()}


def after_prefix(prefix: str) -> str:
    """Return the first string after all those that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class AzureQueue:
    """A queue of wake-ups in Azure Queue Storage."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message that becomes visible after `delay` (whole seconds, at most 7 days)."""
        times = f"visibilitytimeout={whole_seconds(delay)}&messagettl={_FOR_EVER}"
        text = escape(wake_up_text(wake), quote=False)
        body = f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode()
        answer = await self._account.queues.call(
            "POST", f"{self._name}/messages?{times}", body=body, headers=_XML
        )
        return Sent(_element(answer.body, "MessageId"), _element(answer.body, "PopReceipt"))

    async def take_back(self, sent: Sent) -> None:
        """Remove a message that was sent for nothing; no matter if it is gone."""
        await _remove(self._account, self._name, sent)

    async def depth(self) -> int:
        """Return about how many messages there are, waiting ones included."""
        return await _depth(self._account, self._name)


class AzurePoisonQueue:
    """A poison queue, which is there from the first message that the host gives up."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, hidden for a while from everybody else."""
        try:
            received = self._account.queue(self._name).receive_messages(
                messages_per_page=_POISON_BATCH,
                max_messages=_POISON_BATCH,
                visibility_timeout=_POISON_LEASE,
            )
            return [
                Poisoned(str(message.content).encode(), Sent(message.id, message.pop_receipt or ""))
                async for message in received
            ]
        except ResourceNotFoundError:
            return []

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been seen to."""
        await _remove(self._account, self._name, poisoned.sent)

    async def depth(self) -> int:
        """Return about how many messages there are, hidden ones included."""
        try:
            return await _depth(self._account, self._name)
        except ResourceNotFoundError:
            return 0


async def _depth(account: Account, name: str) -> int:
    return (await account.queue(name).get_queue_properties()).approximate_message_count or 0


async def delete_message(account: Account, queue: str, sent: Sent) -> None:
    """Remove a message; raise `HttpResponseError` where it is gone or has another receipt."""
    message = f"{quote(sent.message_id, safe='')}?popreceipt={quote(sent.receipt, safe='')}"
    await account.queues.call("DELETE", f"{queue}/messages/{message}")


async def _remove(account: Account, queue: str, sent: Sent) -> None:
    try:
        await delete_message(account, queue, sent)
    except HttpResponseError as error:
        # Gone, or received meanwhile under another receipt: the fence will see to it.
        if error.status_code not in (400, 404):
            raise


def _element(body: bytes, name: str) -> str:
    """Return the text of an element that stands once in an answer of the queue service."""
    found = re.search(f"<{name}>([^<]*)</{name}>", body.decode())
    return unescape(found[1]) if found else ""


async def create_missing(account: Account, queues: Iterable[str], tables: Iterable[str]) -> None:
    """Make the queues and tables that are not there yet."""
    await asyncio.gather(
        *(_unless_there(account.queues.call("PUT", name)) for name in queues),
        *(_unless_there(_create_table(account, name)) for name in tables),
    )


async def _create_table(account: Account, name: str) -> None:
    body = msgspec.json.encode({"TableName": name})
    await account.tables.call("POST", "Tables", body=body, headers={**_JSON, **_QUIETLY})


async def _unless_there(creation: Awaitable[Any]) -> None:
    with suppress(ResourceExistsError):
        await creation
