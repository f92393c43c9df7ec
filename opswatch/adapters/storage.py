"""Azure Storage behind the ports: tables, queues, and making them where they are missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient
from azure.storage.queue.aio import QueueClient

from opswatch.core.model import Key, WakeUp
from opswatch.core.timestamps import whole_seconds
from opswatch.core.wire import Codec, wake_up_text
from opswatch.ports import Poisoned, Sent, Versioned, Where

T = TypeVar("T")
_FOR_EVER = -1  # a message's time to live
_POISON_BATCH, _POISON_LEASE = 32, 60


class AzureTable(Generic[T]):
    """A table of Azure Table Storage.

    The SDK repeats a write whose answer got lost, and then meets its own row: so a conflict with a
    row that says just what was to be written is a success.
    """

    def __init__(self, client: TableClient, codec: Codec[T]) -> None:
        self._client = client
        self._codec = codec

    async def get(self, key: Key) -> Versioned[T] | None:
        """Return the row, or None where there is none."""
        try:
            entity = await self._client.get_entity(key.partition, key.row)
        except ResourceNotFoundError:
            return None
        return self._versioned(entity)

    async def insert(self, noun: T) -> Versioned[T] | None:
        """Write a new row; return None, changing nothing, where another one stands already."""
        try:
            written = await self._client.create_entity(self._codec.row(noun))
        except ResourceExistsError:
            return await self._if_same(noun)
        return Versioned(noun, written["etag"])

    async def replace(self, noun: T, version: str) -> Versioned[T] | None:
        """Write over the row that has `version`; return None where it has changed or is gone."""
        try:
            written = await self._client.update_entity(
                self._codec.row(noun),
                mode=UpdateMode.REPLACE,
                etag=version,
                match_condition=MatchConditions.IfNotModified,
            )
        except ResourceModifiedError:
            return await self._if_same(noun)
        except ResourceNotFoundError:
            return None
        return Versioned(noun, written["etag"])

    async def put(self, noun: T) -> None:
        """Write the row, whatever stands there."""
        await self._client.upsert_entity(self._codec.row(noun), mode=UpdateMode.REPLACE)

    async def delete(self, key: Key, version: str | None = None) -> bool:
        """Remove the row, if it has `version` where one is given; return False if it has not."""
        condition: dict[str, Any] = {}
        if version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        try:
            await self._client.delete_entity(key.partition, key.row, **condition)
        except ResourceModifiedError:
            return False
        return True

    async def find(self, where: Where) -> AsyncIterator[Versioned[T]]:
        """Yield the rows that `where` selects, in the order of their keys."""
        text, parameters = _filter(where, self._codec.due)
        async for entity in self._client.query_entities(text, parameters=parameters):
            yield self._versioned(entity)

    async def due_times(self) -> AsyncIterator[datetime]:
        """Yield since when each row of a live table is due, or will be; read nothing else of it."""
        async for entity in self._client.list_entities(select=self._codec.due_columns):
            yield self._codec.due_since(entity)

    async def _if_same(self, noun: T) -> Versioned[T] | None:
        """Compare rows, not nouns: a row may say less, such as milliseconds."""
        row = self._codec.row(noun)
        standing = await self.get(self._codec.key(noun))
        if standing is None or self._codec.row(standing.noun) != row:
            return None
        return standing

    def _versioned(self, entity: Any) -> Versioned[T]:
        return Versioned(self._codec.read(entity), entity.metadata["etag"])


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

    def __init__(self, client: QueueClient) -> None:
        self._client = client

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message that becomes visible after `delay` (whole seconds, at most 7 days)."""
        message = await self._client.send_message(
            wake_up_text(wake), visibility_timeout=whole_seconds(delay), time_to_live=_FOR_EVER
        )
        return Sent(message.id, message.pop_receipt or "")

    async def take_back(self, sent: Sent) -> None:
        """Remove a message that was sent for nothing; no matter if it is gone."""
        await _delete(self._client, sent)

    async def depth(self) -> int:
        """Return about how many messages there are, waiting ones included."""
        return await _depth(self._client)


class AzurePoisonQueue:
    """A poison queue, which is there from the first message that the host gives up."""

    def __init__(self, client: QueueClient) -> None:
        self._client = client

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, hidden for a while from everybody else."""
        try:
            received = self._client.receive_messages(
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
        await _delete(self._client, poisoned.sent)

    async def depth(self) -> int:
        """Return about how many messages there are, hidden ones included."""
        try:
            return await _depth(self._client)
        except ResourceNotFoundError:
            return 0


async def _depth(client: QueueClient) -> int:
    return (await client.get_queue_properties()).approximate_message_count or 0


async def _delete(client: QueueClient, sent: Sent) -> None:
    try:
        await client.delete_message(sent.message_id, sent.receipt)
    except HttpResponseError as error:
        # Gone, or received meanwhile under another receipt: the fence will see to it.
        if error.status_code not in (400, 404):
            raise


async def create_missing(queues: list[QueueClient], tables: list[TableClient]) -> None:
    """Make the queues and tables that are not there yet."""
    await asyncio.gather(
        *(_unless_there(queue.create_queue()) for queue in queues),
        *(_unless_there(table.create_table()) for table in tables),
    )


async def _unless_there(creation: Any) -> None:
    with suppress(ResourceExistsError):
        await creation
