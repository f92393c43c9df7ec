"""A queue as the queue trigger uses it: it receives messages under a lease, then settles them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)

from opswatch.adapters.account import Account
from opswatch.adapters.storage import delete_message
from opswatch.ports import Sent

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(minutes=10)  # as in the Functions host, where no setting changes it
_POISON = "-poison"


@dataclass(slots=True, kw_only=True)
class Lease:
    """A received message."""

    message_id: str
    pop_receipt: str  # changes with every renewal
    text: str
    dequeue_count: int
    times: dict[str, datetime | None]
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)  # held to change the receipt


class LeasedQueue:
    """One queue of a storage account, and its poison queue."""

    def __init__(self, account: Account, name: str, lease: timedelta = LEASE) -> None:
        self.name = name
        self.lease = lease
        self._account = account
        self._queue = account.queue(name)
        # A poison queue has no poison queue: its failed messages return when their lease ends.
        self._poison = None if name.endswith(_POISON) else account.queue(name + _POISON)

    async def receive(self, most: int) -> list[Lease]:
        """Lease up to `most` messages, none if the queue does not exist; raise AzureError."""
        pages = self._queue.receive_messages(
            messages_per_page=most, visibility_timeout=int(self.lease.total_seconds())
        ).by_page()
        try:
            async for page in pages:
                return [
                    Lease(
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
                    async for message in page
                ]
        except ResourceNotFoundError:
            logger.debug("queue %s: does not exist", self.name)
        return []

    async def renew(self, lease: Lease) -> None:
        """Extend `lease` to its full length from now; raise AzureError."""
        async with lease.changing:
            await self._hide(lease, self.lease)

    async def delete(self, lease: Lease) -> None:
        """Remove the message."""
        async with _settling(lease):
            await self._delete(lease)

    async def release(self, lease: Lease, delay: timedelta) -> None:
        """Make the message visible again after `delay`."""
        async with _settling(lease):
            await self._hide(lease, delay)

    async def poison(self, lease: Lease) -> None:
        """Move the message to the poison queue; create that queue if it is missing."""
        poison = self._poison
        if poison is None:
            return
        logger.warning("queue %s: message %s moves to %s", self.name, lease.message_id, _POISON)
        async with _settling(lease):
            try:
                await poison.send_message(lease.text)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another poisoned message created it
                    await poison.create_queue()
                await poison.send_message(lease.text)
            await self._delete(lease)

    async def _hide(self, lease: Lease, span: timedelta) -> None:
        updated = await self._queue.update_message(
            lease.message_id,
            pop_receipt=lease.pop_receipt,
            visibility_timeout=int(span.total_seconds()),
        )
        lease.pop_receipt = updated.pop_receipt or lease.pop_receipt

    async def _delete(self, lease: Lease) -> None:
        sent = Sent(lease.message_id, lease.pop_receipt)
        await delete_message(self._account, self.name, sent)


@asynccontextmanager
async def _settling(lease: Lease) -> AsyncIterator[None]:
    """Wait for a renewal under way, then log errors: an unsettled message becomes visible again.

    A message that is gone, or that another receiver leased, is not an error: its lease ended, or
    the function itself settled it.
    """
    async with lease.changing:
        try:
            yield
        except ResourceNotFoundError:
            logger.debug("message %s: already deleted", lease.message_id)
        except HttpResponseError as error:
            is_taken_over = getattr(error, "error_code", None) == "PopReceiptMismatch"
            level = logging.DEBUG if is_taken_over else logging.WARNING
            logger.log(level, "message %s: not settled: %s", lease.message_id, error.reason)
        except AzureError as error:
            logger.warning("message %s: not settled: %s", lease.message_id, error)
