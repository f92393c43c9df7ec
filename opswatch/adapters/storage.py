"""Azure Storage behind the ports: tables, queues, and creating them if they are missing."""

import asyncio
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
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
from opswatch.adapters.entities import decode_entity, encode_entity, to_utc
from opswatch.adapters.failures import clean_errors
from opswatch.adapters.rest import NO_HEADERS, is_repeated
from opswatch.core.keys import Key
from opswatch.ports import Page, Poisoned, Query, Row, Sent
from opswatch.rows.codec import Codec, Noun

T = TypeVar("T", bound=Noun)
_JSON = {"Content-Type": "application/json"}
_XML = {"Content-Type": "application/xml"}
_NO_CONTENT = {"Prefer": "return-no-content"}
_NEVER_EXPIRES = -1  # a message's time to live
_POISON_BATCH, _POISON_LEASE = 32, 60  # messages, seconds


class _NextKeys(msgspec.Struct, forbid_unknown_fields=True):
    """The keys with which the next page begins, as the service and the SDK name them."""

    PartitionKey: str | None
    RowKey: str | None


_decode_next_keys = msgspec.json.Decoder(_NextKeys).decode


class AzureTable(Generic[T]):
    """A table of Azure Table Storage.

    A write whose answer got lost is repeated, and then conflicts with itself: so a conflict with
    just what was to be written is a success. An insert that was not repeated is not: another worker
    may have inserted the same, and only one of them may act on it.
    """

    def __init__(self, account: Account, codec: Codec[T], name: str | None = None) -> None:
        self._account = account
        self._codec = codec
        self._name = name or codec.table

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none."""
        try:
            answer = await self._account.tables.call("GET", self._path(key))
        except ResourceNotFoundError:
            return None
        return Row(self._codec.decode(decode_entity(answer.body)), answer.headers["ETag"])

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""
        try:
            return await self._write("POST", self._name, noun, _NO_CONTENT)
        except ResourceExistsError as error:
            return await self._row_if_same(noun) if is_repeated(error) else None

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""
        try:
            return await self._write("PUT", self._path(noun.key), noun, {"If-Match": etag})
        except ResourceModifiedError:  # aiohttp repeats a PUT, too, if a kept connection breaks
            return await self._row_if_same(noun)
        except ResourceNotFoundError:
            return None

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""
        await self._write("PUT", self._path(noun.key), noun)

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""
        condition = {"If-Match": etag or "*"}
        try:
            await self._account.tables.call("DELETE", self._path(key), headers=condition)
        except ResourceModifiedError:
            return False
        except ResourceNotFoundError:
            return True
        return True

    async def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys."""
        text, parameters = self._filter(query)
        columns = list(self._codec.column_names) if self._codec.is_part else None
        entities = self._account.table(self._name).query_entities(
            text, parameters=parameters, select=columns
        )
        with clean_errors():
            async for entity in entities:
                if self._codec.has(entity["PartitionKey"]):
                    yield self._row(entity)

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` (1 to 1000) of the rows that `query` selects, in order."""
        text, parameters = self._filter(query)
        token: Any = None  # the SDK annotates a string, and uses a dict
        if continuation is not None:
            try:
                next_keys = _decode_next_keys(urlsafe_b64decode(continuation))
            except ValueError:
                raise ValueError("not a continuation") from None
            token = msgspec.structs.asdict(next_keys)
        pages = (
            self._account.table(self._name)
            .query_entities(text, parameters=parameters, results_per_page=limit)
            .by_page(continuation_token=token)
        )
        with clean_errors():
            rows = [
                self._row(entity)
                async for entity in await anext(pages)
                if self._codec.has(entity["PartitionKey"])
            ]
        following: Any = pages.continuation_token  # type: ignore[attr-defined]  # the SDK's pages
        if not following:
            return Page(rows)
        return Page(rows, urlsafe_b64encode(msgspec.json.encode(following)).decode())

    async def iter_due_at(self) -> AsyncIterator[datetime]:
        """Yield since when each row of a live table is due, or will be; read only that column."""
        columns = list(self._codec.due_columns)
        entities = self._account.table(self._name).list_entities(select=columns)
        with clean_errors():
            async for entity in entities:
                yield to_utc(self._codec.effective_due_at(entity))

    async def _write(
        self, method: str, path: str, noun: T, headers: Mapping[str, str] = NO_HEADERS
    ) -> Row[T]:
        body = encode_entity(self._codec.encode(noun))
        answer = await self._account.tables.call(
            method, path, body=body, headers={**_JSON, **headers}
        )
        return Row(noun, answer.headers["ETag"])

    async def _row_if_same(self, noun: T) -> Row[T] | None:
        """Return the row if it is `noun`, compared as entities: a row may have less precision."""
        current = await self.get(noun.key)
        if current is None or self._codec.encode(current.value) != self._codec.encode(noun):
            return None
        return current

    def _row(self, entity: Any) -> Row[T]:
        """Return the row in an entity of the SDK."""
        plain = {name: to_utc(value) for name, value in entity.items()}
        return Row(self._codec.decode(plain), entity.metadata["etag"] or "")

    def _path(self, key: Key) -> str:
        """Return the path of a row: keys are between apostrophes, which are doubled within them."""
        partition, row = (
            quote(text.replace("'", "''"), safe="") for text in (key.partition, key.row)
        )
        return f"{self._name}(PartitionKey='{partition}',RowKey='{row}')"

    def _filter(self, query: Query) -> tuple[str, dict[str, Any]]:
        """Return the OData filter of `query`, and its parameters."""
        prefix = query.row_prefix
        conditions: dict[str, Any] = {
            "PartitionKey eq @partition": query.partition,
            "PartitionKey lt @partition_before": query.partition_before,
            "RowKey ge @row_prefix": prefix,
            "RowKey lt @after_prefix": prefix and after_prefix(prefix),
            "RowKey gt @row_after": query.row_after,
        }
        if query.due_before is not None:
            conditions[f"{self._codec.due} lt @due_before"] = query.due_before
        given = {text: value for text, value in conditions.items() if value is not None}
        parameters = {text.rpartition("@")[2]: value for text, value in given.items()}
        return " and ".join(given), parameters


def after_prefix(prefix: str) -> str:
    """Return the first string after all strings that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class AzureQueue:
    """A queue of Azure Queue Storage."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message that becomes visible after `delay`, rounded up to seconds; at most 7 d."""
        seconds = max(0, math.ceil(delay.total_seconds()))
        times = f"visibilitytimeout={seconds}&messagettl={_NEVER_EXPIRES}"
        text = escape(body.decode(), quote=False)
        answer = await self._account.queues.call(
            "POST",
            f"{self._name}/messages?{times}",
            body=f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode(),
            headers=_XML,
        )
        return Sent(_element(answer.body, "MessageId"), _element(answer.body, "PopReceipt"))

    async def take_back(self, sent: Sent) -> None:
        """Remove a message that has become superfluous; nothing happens if it is gone."""
        await _remove(self._account, self._name, sent)

    async def depth(self) -> int:
        """Return the approximate number of messages, hidden ones included."""
        return await _depth(self._account, self._name)


class AzurePoisonQueue:
    """A poison queue; the host creates it when it gives up the first message."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, and hide them from other callers for a while."""
        received = self._account.queue(self._name).receive_messages(
            messages_per_page=_POISON_BATCH,
            max_messages=_POISON_BATCH,
            visibility_timeout=_POISON_LEASE,
        )
        try:
            with clean_errors():
                return [
                    Poisoned(str(found.content).encode(), Sent(found.id, found.pop_receipt or ""))
                    async for found in received
                ]
        except ResourceNotFoundError:
            return []

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been handled."""
        await _remove(self._account, self._name, poisoned.sent)

    async def depth(self) -> int:
        """Return the approximate number of messages, hidden ones included."""
        try:
            return await _depth(self._account, self._name)
        except ResourceNotFoundError:
            return 0


async def _depth(account: Account, name: str) -> int:
    with clean_errors():
        properties = await account.queue(name).get_queue_properties()
    return properties.approximate_message_count or 0


async def delete_message(account: Account, queue: str, sent: Sent) -> None:
    """Remove a message; raise `HttpResponseError` if it is gone or has another receipt."""
    message = f"{quote(sent.message_id, safe='')}?popreceipt={quote(sent.receipt, safe='')}"
    await account.queues.call("DELETE", f"{queue}/messages/{message}")


async def _remove(account: Account, queue: str, sent: Sent) -> None:
    try:
        await delete_message(account, queue, sent)
    except HttpResponseError as error:
        # Gone, or a worker received it under another receipt: the fence drops it.
        if error.status_code not in (400, 404):
            raise


def _element(body: bytes, name: str) -> str:
    """Return the text of the only element `name` in an answer of the queue service."""
    found = re.search(f"<{name}>([^<]*)</{name}>", body.decode())
    return unescape(found[1]) if found else ""


async def create_missing(account: Account, queues: Iterable[str], tables: Iterable[str]) -> None:
    """Create the queues and tables that do not exist."""

    async def create(call: Awaitable[Any]) -> None:
        with suppress(ResourceExistsError):
            await call

    headers = {**_JSON, **_NO_CONTENT}
    bodies = [msgspec.json.encode({"TableName": name}) for name in tables]
    await asyncio.gather(
        *(create(account.queues.call("PUT", name)) for name in queues),
        *(create(account.tables.call("POST", "Tables", body=b, headers=headers)) for b in bodies),
    )
