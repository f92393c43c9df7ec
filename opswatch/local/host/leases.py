"""A queue as the trigger uses it: messages received under a lease, then settled."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.adapters.storage import delete_message
from opswatch.ports import Sent

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(minutes=10)  # the Functions host's, which no setting changes
_POISON = "-poison"


@dataclass(slots=True, kw_only=True)
class Lease:
    """A received message; its pop receipt changes with every renewal."""

    message_id: str
    pop_receipt: str
    text: str
    dequeue_count: int
    times: dict[str, datetime | None]
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class LeasedQueue:
    """One queue of a storage account, and its poison queue."""

    def __init__(self, account: Account, name: str, lease: timedelta = LEASE) -> None:
        self.name = name
        self.lease = lease
        self._account = account
        self._queue = account.queue(name)
        # A poison queue has none of its own: what fails there comes back when its lease ends.
        self._poison = None if name.endswith(_POISON) else account.queue(name + _POISON)

    async def receive(self, most: int) -> list[Lease]:
        """Lease up to `most` messages; none where the queue does not exist. Raise AzureError."""
        pages = self._queue.receive_messages(
            messages_per_page=most, visibility_timeout=int(self.lease.total_seconds())
        ).by_page()
        try:
            async for page in pages:
                return [_lease(message) async for message in page]
        except ResourceNotFoundError:
            logger.debug("queue %s: not there", self.name)
        return []

    async def renew(self, lease: Lease) -> None:
        """Extend `lease` by its full length from now; raise AzureError."""
        async with lease.changing:
            await _hide(self._queue, lease, self.lease)

    async def delete(self, lease: Lease) -> None:
        """Remove the message."""
        async with _settling(lease):
            await self._delete(lease)

    async def release(self, lease: Lease, delay: timedelta) -> None:
        """Let the message come back after `delay`."""
        async with _settling(lease):
            await _hide(self._queue, lease, delay)

    async def poison(self, lease: Lease) -> None:
        """Move the message to the poison queue, which is made when it is missing."""
        if self._poison is None:
            return
        logger.warning("queue %s: message %s moves to %s", self.name, lease.message_id, _POISON)
        async with _settling(lease):
            await _send(self._poison, lease.text)
            await self._delete(lease)

    async def _delete(self, lease: Lease) -> None:
        sent = Sent(lease.message_id, lease.pop_receipt)
        await delete_message(self._account, self.name, sent)


def _lease(message: QueueMessage) -> Lease:
    return Lease(
        message_id=message.id,
        pop_receipt=message.pop_receipt or "",
        text=message.content,
        dequeue_count=message.dequeue_count or 1,
        times={
            "InsertionTime": message.inserted_on,
            "ExpirationTime": message.expires_on,
            "NextVisibleTime": message.next_visible_on,
        },
    )


async def _hide(queue: QueueClient, lease: Lease, span: timedelta) -> None:
    updated = await queue.update_message(
        lease.message_id,
        pop_receipt=lease.pop_receipt,
        visibility_timeout=int(span.total_seconds()),
    )
    lease.pop_receipt = updated.pop_receipt or lease.pop_receipt


async def _send(queue: QueueClient, text: str) -> None:
    try:
        await queue.send_message(text)
    except ResourceNotFoundError:
        try:
            await queue.create_queue()
        except ResourceExistsError:
            logger.debug("queue %s: another poisoned message made it first", queue.queue_name)
        await queue.send_message(text)


@asynccontextmanager
async def _settling(lease: Lease) -> AsyncIterator[None]:
    """Wait for a renewal under way, and log what goes wrong: the message then comes back by itself.

    It is no error that the message is gone or another's: its lease ran out, or the function
    itself settled it.
    """
    async with lease.changing:
        try:
            yield
        except ResourceNotFoundError:
            logger.debug("message %s: gone already", lease.message_id)
        except HttpResponseError as error:
            level = logging.DEBUG if _is_taken_over(error) else logging.WARNING
            logger.log(level, "message %s: not settled: %s", lease.message_id, error.reason)
        except AzureError as error:
            logger.warning("message %s: not settled: %s", lease.message_id, error)


def _is_taken_over(error: HttpResponseError) -> bool:
    return getattr(error, "error_code", None) == "PopReceiptMismatch"
