"""Where a client reads and posts: the storage account of the app, or its HTTP API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from opswatch.client.errors import NotAllowedError, RejectedError
from opswatch.client.row import OperationRow
from opswatch.core.http import is_outage
from opswatch.core.intake import Intake
from opswatch.core.keys import Key

_REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A post that was sent; a storage account says later whether the app has accepted it."""

    key: Key
    at: datetime
    digests: tuple[str, ...] = ()  # SHA-256 of its message, if a rejection may follow
    replaces: int = 0  # the round whose end is valid until the app watches the operation again


class Source(Protocol):
    """What a client needs of an app; sync or async, as the client's face is."""

    intake: Intake | None  # what posts are checked with here; None if the app answers at once

    async def post(self, body: bytes, now: datetime) -> Posted:
        """Post an operation; raise `RejectedError` if that is known to be in vain."""

    async def read(self, key: Key) -> OperationRow | None:
        """Return the operation, or None if it is unknown."""

    async def rejection(self, posted: Posted) -> RejectedError | None:
        """Return why the app has rejected a post; None if it has not, or that cannot be read."""

    async def stop(self, key: Key) -> OperationRow:
        """End a watch on a user's wish, and return its row."""

    async def redeliver(self, key: Key, delivery_id: str | None) -> list[dict[str, Any]]:
        """Send deliveries again, and return them."""

    async def close(self) -> None:
        """Close what was opened here, not what the user has opened."""


def is_hiccup(error: AzureError, *, has_answered: bool) -> bool:
    """Return whether a call may succeed later.

    A sign-in that fails without an answer's status is one if it has succeeded before.
    """
    if isinstance(error, NotAllowedError):
        return False
    if not isinstance(error, HttpResponseError):
        return True  # no connection, or no whole answer
    code = error.status_code
    if code is None:
        return has_answered or not isinstance(error, ClientAuthenticationError)
    return is_outage(code)


def is_refusal(error: AzureError) -> bool:
    """Return whether a call was refused because of who has made it."""
    return isinstance(error, HttpResponseError) and error.status_code in _REFUSED
