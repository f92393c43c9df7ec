"""The app's storage account as a source: its queue, and the tables of operations."""

import inspect
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import product
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError

from opswatch.client.calls import settle
from opswatch.client.errors import NotAllowedError, RejectedError
from opswatch.client.row import OperationRow, row_from_json
from opswatch.client.source import Posted, is_refusal
from opswatch.core.errors import OpswatchError
from opswatch.core.intake import Intake, Rejection
from opswatch.core.keys import Key
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.rows.tables import REJECTIONS, RESULTS, WATCHES
from opswatch.views import row_as_json

_NEVER_EXPIRES = -1  # a message's time to live
_SENDER = "Storage Queue Data Message Sender"
_READER = "Storage Table Data Reader"


class StorageSource:
    """A queue and tables, through the SDK's clients of the user.

    Posting needs the right to send messages, reading that to read tables: without the clients of
    one of them, the other works. Stopping and delivering again change several tables in an order
    that the app keeps: the HTTP API does both.
    """

    def __init__(
        self, queue: Any, results: Any, watches: Any, rejections: Any, intake: Intake
    ) -> None:
        self.intake: Intake | None = intake
        self._intake = intake
        self._queue, self._results, self._watches = queue, results, watches
        self._rejections = rejections
        self.owned: list[Any] = []  # clients and credentials that were opened for it

    async def post(self, body: bytes, now: datetime) -> Posted:
        """Send a message, after the checks that the app makes."""
        if self._queue is None:
            raise OpswatchError(f"this client only reads: it has no queue {OPERATIONS_QUEUE!r}")
        read = self._intake.read(body, now)
        if isinstance(read, Rejection):
            raise RejectedError(read.reason, read.detail)
        ended = await self._readable(read.operation.key) if read.again else None
        try:
            await settle(self._queue.send_message(body.decode(), time_to_live=_NEVER_EXPIRES))
        except ResourceNotFoundError as error:
            raise OpswatchError(
                f"the storage account has no queue {OPERATIONS_QUEUE!r}: the app, which creates "
                "it, has never run there"
            ) from error
        except AzureError as error:
            if is_refusal(error):
                text = f"the storage account does not let you post: it needs the role {_SENDER}"
                raise NotAllowedError(text) from error
            raise
        return Posted(
            key=read.operation.key,
            at=now,
            # A client of the user may encode its messages (`TextBase64EncodePolicy`).
            digests=tuple(sha256(sent).hexdigest() for sent in (body, b64encode(body))),
            replaces=ended.round if ended and ended.can_be_watched_again else 0,
        )

    async def read(self, key: Key) -> OperationRow | None:
        """Return the result, or the watch if there is none or it is of a later round.

        The result is read after the watch, which may end in between.
        """
        if self._results is None:
            raise OpswatchError(
                f"this client only posts: it has no tables {RESULTS.table!r} and {WATCHES.table!r}"
            )
        watch = await self._get(self._watches, key)
        result = await self._get(self._results, key)
        if result is not None and (watch is None or _round(watch) <= _round(result)):
            return _operation(result, "finished", key)
        return _operation(watch, "watching", key) if watch is not None else None

    async def _readable(self, key: Key) -> OperationRow | None:
        """Return the operation for a poster, who may have no right to read it: then None."""
        if self._results is None:
            return None
        try:
            return await self.read(key)
        except NotAllowedError:
            return None

    async def rejection(self, posted: Posted) -> RejectedError | None:
        """Return the rejection of a post: its key is the date, then the digest of its message."""
        if self._rejections is None:
            return None
        first = posted.at.astimezone(UTC).date()
        for day, digest in product((first, first + timedelta(days=1)), posted.digests):
            found = await self._get(self._rejections, Key(day.isoformat(), digest))
            if found is not None:
                return RejectedError(str(found.get("reason")), str(found.get("detail")))
        return None

    async def stop(self, key: Key) -> OperationRow:
        """Raise `OpswatchError`: see the class."""
        raise _needs_api("stopping a watch", key)

    async def redeliver(
        self,
        key: Key,
        delivery_id: str | None,  # noqa: ARG002 - the source's
    ) -> list[dict[str, Any]]:
        """Raise `OpswatchError`: see the class."""
        raise _needs_api("delivering again", key)

    async def close(self) -> None:
        """Close what `from_env` has opened."""
        for each in self.owned:
            await settle(each.close())

    async def _get(self, table: Any, key: Key) -> dict[str, Any] | None:
        try:
            entity: dict[str, Any] = await settle(table.get_entity(key.partition, key.row))
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            if is_refusal(error):
                text = f"the storage account does not let you read: it needs the role {_READER}"
                raise NotAllowedError(text) from error
            raise
        return entity


def check_clients(queue: Any, tables: dict[str, Any], *, is_async: bool) -> None:
    """Raise `TypeError` or `ValueError` if clients were mixed up, or one is missing."""
    if (RESULTS.table in tables) != (WATCHES.table in tables):
        raise TypeError("`results` and `watches` go together: an operation is in one of them")
    calls = [(queue, "send_message"), *((table, "get_entity") for table in tables.values())]
    for client, name in calls:
        call = getattr(client, name, None)
        if call is None:
            raise TypeError(f"{type(client).__name__} has no {name}(): is it the right client?")
        if inspect.iscoroutinefunction(call) != is_async:
            wanted = "the async clients (azure.….aio)" if is_async else "the clients that are sync"
            face = "opswatch.client.Watcher" if is_async else "opswatch.client.sync.Watcher"
            raise TypeError(f"{face} takes {wanted}, and {type(client).__name__} is none of them")
    names = {OPERATIONS_QUEUE: getattr(queue, "queue_name", OPERATIONS_QUEUE)}
    names |= {name: getattr(table, "table_name", name) for name, table in tables.items()}
    for name, found in names.items():
        if found != name:
            raise ValueError(f"expected the client of {name!r}, got that of {found!r}")


def table_clients(results: Any, watches: Any, rejections: Any) -> dict[str, Any]:
    """Return the given tables by their names."""
    tables = {RESULTS.table: results, WATCHES.table: watches, REJECTIONS.table: rejections}
    return {name: table for name, table in tables.items() if table is not None}


def _operation(entity: dict[str, Any], state: str, key: Key) -> OperationRow:
    """Return a row; the SDK gives 64-bit integers as pairs with their type."""
    plain = {
        name: value.value if hasattr(value, "edm_type") else value for name, value in entity.items()
    }
    names = {"subscriptionId": key.partition, "key": key.row, "state": state}
    return row_from_json({**row_as_json(plain), **names})


def _round(entity: dict[str, Any]) -> int:
    return int(entity.get("round", 1))


def _needs_api(what: str, key: Key) -> OpswatchError:
    return OpswatchError(
        f"{what} needs the app's HTTP API: Watcher.over_http(url, key).get('{key}'); the rights to "
        "post and to read do not include it"
    )
