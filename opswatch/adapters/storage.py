"""Azure Storage behind the ports: tables, queues, and creating them if they are missing."""

import asyncio
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from html import escape
from http import HTTPStatus
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
from opswatch.adapters.entities import (
    decode_entities,
    decode_entity,
    encode_entity,
    encode_filter,
    entity_path,
)
from opswatch.adapters.failures import clean_errors
from opswatch.adapters.rest import NO_HEADERS, Answer, is_repeated
from opswatch.adapters.transactions import (
    BATCH_HEADERS,
    MOST_CHANGES,
    Change,
    TransactionConflictError,
    check_transaction,
    conflict_of,
    encode_transaction,
    read_etags,
)
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.ports import Page, Peeked, Poisoned, Query, Row, Sent
from opswatch.rows.codec import Codec, Entity, Noun, UnreadableRowError
from opswatch.rows.messages import encode_wake_ups

T = TypeVar("T", bound=Noun)
_JSON = {"Content-Type": "application/json"}
_XML = {"Content-Type": "application/xml"}
_NO_CONTENT = {"Prefer": "return-no-content"}
_NEVER_EXPIRES = -1  # a message's time to live
_GROUPS_AT_ONCE = 16  # of rows that are removed
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

    def __init__(
        self,
        account: Account,
        codec: Codec[T],
        name: str | None = None,
        on_unreadable: Callable[[str, Key, Exception], None] = lambda *_: None,
    ) -> None:
        self._account = account
        self._codec = codec
        self._on_unreadable = on_unreadable
        self.name = name or codec.table

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none; report a row that cannot be decoded."""
        try:
            answer = await self._account.tables.call("GET", entity_path(self.name, key))
        except ResourceNotFoundError:
            return None
        entity = decode_entity(answer.body)
        try:
            return Row(self._codec.decode(entity), answer.headers["ETag"])
        except UnreadableRowError as error:
            self._on_unreadable(self.name, key, error)
            raise

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""
        try:
            return await self._write("POST", self.name, noun, _NO_CONTENT)
        except ResourceExistsError as error:
            return await self._row_if_same(noun) if is_repeated(error) else None

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""
        try:
            return await self._write(
                "PUT", entity_path(self.name, noun.key), noun, {"If-Match": etag}
            )
        except ResourceModifiedError:  # aiohttp repeats a PUT, too, if a kept connection breaks
            return await self._row_if_same(noun)
        except ResourceNotFoundError:
            return None

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""
        await self._write("PUT", entity_path(self.name, noun.key), noun)

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""
        condition = {"If-Match": etag or "*"}
        try:
            await self._account.tables.call(
                "DELETE", entity_path(self.name, key), headers=condition
            )
        except ResourceModifiedError:
            return False
        except ResourceNotFoundError:
            return True
        return True

    async def transact(self, changes: Sequence[Change]) -> list[str | None]:
        """Apply changes of one partition, all or none; return the new ETags (None: removed).

        At most `MOST_CHANGES`, at most `MOST_BYTES`, each key once: the service refuses what
        exceeds that. Raise `TransactionConflictError`, whose `index` names the change, if one
        condition does not hold. A transaction whose answer got lost is repeated, and conflicts with
        itself: after a conflict of which `is_repeated` is true the caller reads what holds.
        """
        tables = self._account.tables
        if len(changes) > 1:
            body = encode_transaction(tables.uri, self.name, changes)
            answer = await tables.call(
                "POST", "$batch", body=body, headers=BATCH_HEADERS, check=check_transaction
            )
            return read_etags(answer.body, len(changes))
        for change in changes:  # one, or none
            path, headers = entity_path(self.name, change.key), {"If-Match": change.etag, **_JSON}
            try:
                answer = await tables.call(change.method, path, body=change.body(), headers=headers)
            except HttpResponseError as error:
                raise conflict_of(error, 0) or error from None
            return [answer.headers.get("ETag")]
        return []

    async def delete_all(self, rows: Sequence[Row[T]]) -> set[Key]:
        """Remove rows in transactions of a partition; if one of it has changed, one by one."""
        partitions: dict[str, list[Row[T]]] = {}
        for row in rows:
            partitions.setdefault(row.value.key.partition, []).append(row)
        groups = [
            group[first : first + MOST_CHANGES]
            for group in partitions.values()
            for first in range(0, len(group), MOST_CHANGES)
        ]
        limit = asyncio.Semaphore(_GROUPS_AT_ONCE)

        async def delete(group: list[Row[T]]) -> list[Key]:
            async with limit:
                with suppress(TransactionConflictError):
                    await self.transact([Change(key=row.value.key, etag=row.etag) for row in group])
                    return []
                return [r.value.key for r in group if not await self.delete(r.value.key, r.etag)]

        return {key for kept in await asyncio.gather(*map(delete, groups)) for key in kept}

    async def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys."""
        columns = ",".join(sorted(self._codec.column_names)) if self._codec.is_part else ""
        options = f"{self._filter(query)}{columns and f'&$select={columns}'}"
        page = await self._page(options)
        while True:
            for entity, etag in page.values:
                if (row := self._readable(entity, etag)) is not None:
                    yield row
            if page.continuation is None:
                return
            page = await self._page(options, page.continuation)

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` (1 to 1000) of the rows that `query` selects, in order."""
        page = await self._page(f"{self._filter(query)}&$top={limit}", continuation)
        rows = [self._readable(*found) for found in page.values]
        return Page([row for row in rows if row is not None], page.continuation)

    async def _page(
        self, options: str, continuation: str | None = None
    ) -> Page[tuple[Entity, str]]:
        """Return a page of entities with their ETags.

        The SDK's query takes 1 ms of CPU more, and the purge makes two for each operation.
        """
        if continuation is not None:
            try:
                following = _decode_next_keys(urlsafe_b64decode(continuation))
            except ValueError:
                raise ValueError("not a continuation") from None
            for name, key in msgspec.structs.asdict(following).items():
                options += f"&Next{name}={quote(key or '', safe='')}"
        try:
            answer = await self._account.tables.call("GET", f"{self.name}()?{options.strip('&')}")
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            missing = ResourceNotFoundError(error.message)  # a query's 404 is its table's
            missing.error_code = getattr(error, "error_code", None)  # type: ignore[attr-defined]
            raise missing from None
        return _read_page(answer)

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

    def _readable(self, entity: Entity, etag: str) -> Row[T] | None:
        """Return a row; pass over another noun's, and report a row that cannot be decoded."""
        if not self._codec.has(entity.get("PartitionKey", "")):
            return None
        try:
            return Row(self._codec.decode(entity), etag)
        except UnreadableRowError as error:
            key = Key(entity.get("PartitionKey", ""), entity.get("RowKey", ""))
            self._on_unreadable(self.name, key, error)
            return None

    def _filter(self, query: Query) -> str:
        """Return the option `$filter` of `query`, as a URL has it; empty if all rows match."""
        prefix = query.row_prefix
        conditions: dict[str, Any] = {
            "PartitionKey eq": query.partition,
            "PartitionKey lt": query.partition_before,
            "RowKey ge": prefix,
            "RowKey lt": prefix and after_prefix(prefix),
            "RowKey gt": query.row_after,
        }
        if query.due_from is not None:
            conditions[f"{self._codec.due} ge"] = query.due_from
        if query.due_before is not None:
            conditions[f"{self._codec.due} lt"] = query.due_before
        if query.far is not None:
            conditions["far eq"] = query.far
        given = {text: value for text, value in conditions.items() if value is not None}
        return f"$filter={quote(encode_filter(given), safe='')}" if given else ""


def _read_page(answer: Answer) -> Page[tuple[Entity, str]]:
    """Return the entities of a page with their ETags, and where the next one begins."""
    found, headers = decode_entities(answer.body), answer.headers
    partition, row = (headers.get(f"x-ms-continuation-Next{n}") for n in ("PartitionKey", "RowKey"))
    if not partition:
        return Page(found)
    following = _NextKeys(PartitionKey=partition, RowKey=row)
    return Page(found, urlsafe_b64encode(msgspec.json.encode(following)).decode())


def after_prefix(prefix: str) -> str:
    """Return the first string after all strings that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class AzureQueue:
    """A queue of Azure Queue Storage."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        """Send a separate message, to be visible after `delay`, at most 7 days."""
        seconds = max(0, math.ceil(delay.total_seconds()))
        times = f"visibilitytimeout={seconds}&messagettl={_NEVER_EXPIRES}"
        text = escape(body.decode(), quote=False).replace("\r", "&#13;")  # or XML drops it
        await self._account.queues.call(
            "POST",
            f"{self._name}/messages?{times}",
            body=f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode(),
            headers=_XML,
        )

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        """Send a wake-up in a separate message."""
        for body in encode_wake_ups([wake]):
            await self.send(body, delay)

    async def peek(self) -> Peeked | None:
        """Return the message that is next, and leave it in the queue; None if none is visible."""
        with clean_errors():
            for found in await self._account.queue(self._name).peek_messages(max_messages=1):
                if found.inserted_on is not None:
                    return Peeked(str(found.content).encode(), found.inserted_on)
        return None

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
    try:
        with clean_errors():
            properties = await account.queue(name).get_queue_properties()
    except HttpResponseError as error:
        error.credentials = account.queues.signer.kind  # type: ignore[attr-defined]  # as `Service`
        raise
    return properties.approximate_message_count or 0


async def delete_message(account: Account, queue: str, sent: Sent) -> None:
    """Remove a message; raise `HttpResponseError` if it is gone or has another receipt."""
    message = f"{quote(sent.message_id, safe='')}?popreceipt={quote(sent.receipt, safe='')}"
    await account.queues.call("DELETE", f"{queue}/messages/{message}")


async def _remove(account: Account, queue: str, sent: Sent) -> None:
    try:
        await delete_message(account, queue, sent)
    except HttpResponseError as error:
        # Gone, or another worker received it under another receipt.
        if error.status_code not in (400, 404):
            raise


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
