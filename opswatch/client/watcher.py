"""The async client: hand operations over, and wait for them from any process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from opswatch.client.calls import ASYNC_TIMING
from opswatch.client.connection import Connection, intake_from
from opswatch.client.handover import hand_over
from opswatch.client.http import open_http
from opswatch.client.polling import AsyncDurablePolling, FinalStateVia
from opswatch.client.posts import Options, PollingOptions, PostOptions, own_polling
from opswatch.client.row import OperationRow
from opswatch.client.source import Posted
from opswatch.client.storage import StorageSource, check_clients, table_clients
from opswatch.client.waiting import not_found
from opswatch.core.keys import Key

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient
    from azure.storage.queue.aio import QueueClient


class Handle:
    """One operation that is watched, here or by a post of another process; cheap to make.

    Nothing is read until one of its methods is called.
    """

    def __init__(
        self,
        connection: Connection,
        key: Key,
        *,
        posted: Posted | None = None,
        ended: OperationRow | None = None,
    ) -> None:
        self._connection = connection
        self._key = key
        self._posted = posted
        self._ended = ended

    @property
    def id(self) -> str:
        """`SUBSCRIPTION/KEY`, as `Watcher.get` and `continuation_token` take it."""
        return str(self._key)

    @property
    def has_ended(self) -> bool:
        """Whether the operation had ended before it was handed over: nothing is watched."""
        return self._ended is not None

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    async def row(self) -> OperationRow:
        """Return what is known of the operation now; raise `OperationNotFoundError`."""
        return self._ended or await self._connection.read(self._key)

    async def result(self, timeout: timedelta | float | None = None) -> OperationRow:
        """Wait for the end, and return the row of an operation that has succeeded.

        Raise the `OperationError` of any other end; `TimeoutError` after `timeout` (a number is
        seconds), with the watch going on; `OperationNotFoundError`, `RejectedError`,
        `NotAllowedError` or `UnreachableError` if there is nothing to wait for.
        """
        last: OperationRow | None = None
        async for row in self._looks(timeout):
            last = row
        if last is None:
            raise not_found(self._key)
        last.raise_unless_succeeded()
        return last

    async def changes(
        self, timeout: timedelta | float | None = None
    ) -> AsyncIterator[OperationRow]:
        """Yield the operation as it is, and again after each change until it has ended.

        A change is another status, progress, or miss; a poll that shows the same is none. An end is
        yielded, and raises nothing, even if it is no success.
        """
        before: tuple[Any, ...] | None = None
        async for row in self._looks(timeout):
            shown = row.shown
            if shown != before:
                yield row
            before = shown

    async def stop(self) -> OperationRow:
        """Stop watching; the ARM operation goes on. Return the row, which says how it has ended.

        Over HTTP only: it changes several tables, for which a poster has no right.
        """
        return await self._connection.persist(lambda: self._connection.source.stop(self._key))

    async def redeliver(self, delivery_id: str | None = None) -> list[dict[str, Any]]:
        """Send the callbacks that have not arrived, or the one with this ID; return them.

        Over HTTP only, as `stop`.
        """
        source = self._connection.source
        return await self._connection.persist(lambda: source.redeliver(self._key, delivery_id))

    async def _looks(self, timeout: timedelta | float | None) -> AsyncIterator[OperationRow]:
        if self._ended is not None:
            yield self._ended
            return
        async for row in self._connection.watched(self._key, self._posted).looks(timeout):
            yield row


class Watcher:
    """The client of one opswatch app, over the app's storage account or its HTTP API.

    `queue` is the client of the queue `operations`; `results`, `watches` and `rejections` are those
    of the tables; without `results` and `watches` it only posts. Without `rejections`, a post that
    the app rejects later is an operation that never appears. `settings` are the app's that posts
    depend on, such as `OPSWATCH_CLOUD`, `OPSWATCH_SUBSCRIPTION_ID` and
    `OPSWATCH_CALLBACK_NETWORKS`; raises `ConfigError` if they are wrong. The clients stay the
    user's to close.
    """

    def __init__(
        self,
        queue: "QueueClient",
        results: "TableClient | None" = None,
        watches: "TableClient | None" = None,
        *,
        rejections: "TableClient | None" = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        check_clients(queue, table_clients(results, watches, rejections), is_async=True)
        source = StorageSource(queue, results, watches, rejections, intake_from(settings or {}))
        self._open(Connection(source=source, timing=ASYNC_TIMING))

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Return the client of the storage account that `AzureWebJobsStorage` names.

        The variables are read as the app reads them, of the environment unless given. A signature
        of the queues alone posts, one of the tables alone reads. Without a key or a signature, the
        credentials come from azure-identity. If `OPSWATCH_URL` is set, it is the
        client of that app's HTTP API, with the key `OPSWATCH_KEY`. Raises `ConfigError`.
        """
        from opswatch.client.environment import open_env  # noqa: PLC0415 - not needed otherwise

        return cls.over(Connection(source=open_env(env, is_async=True), timing=ASYNC_TIMING))

    @classmethod
    def over_http(cls, url: str, key: str | None = None, *, write_key: str | None = None) -> Self:
        """Return the client of the app at `url`, such as `https://APP.azurewebsites.net`.

        `key` is a key of the function `read`, `write_key` one of `write`, to post and to stop; a
        key of the host does for both.
        """
        source = open_http(url, key, write_key, is_async=True)
        return cls.over(Connection(source=source, timing=ASYNC_TIMING))

    @classmethod
    def over(cls, connection: Connection) -> Self:
        """Return the client of another source, as tests have one."""
        watcher = cls.__new__(cls)
        watcher._open(connection)  # noqa: SLF001 - its own
        return watcher

    def _open(self, connection: Connection) -> None:
        self._connection = connection
        self._pollings: list[AsyncDurablePolling] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for posts that are under way, and close what this client has opened."""
        posts = [polling.wait_posted() for polling in self._pollings]
        await asyncio.gather(*posts, return_exceptions=True)
        await self._connection.source.close()

    async def submit(self, operation: Any, **options: Unpack[PostOptions]) -> Handle:
        """Hand an operation over, and return its handle.

        `operation` is a status URL, an ARM path, an operation ID, a response with the header
        Azure-AsyncOperation or Location, or the poller of a begin_ method. A poller that has ended
        posts nothing: its handle says so. A running sync poller goes on polling beside opswatch, as
        it has no way to stop: prefer `polling`.

        Raise `RejectedError` (a `ValueError`) if the app would refuse the post, `NotAllowedError`
        and `UnreachableError`.
        """
        polling = own_polling(operation)
        if isinstance(polling, AsyncDurablePolling):
            await polling.wait_posted()
        handed = await hand_over(self._connection, operation, Options(**options))
        return Handle(self._connection, handed.key, posted=handed.posted, ended=handed.ended)

    def get(self, operation: str) -> Handle:
        """Return the handle of `SUBSCRIPTION/KEY` or any form that can be posted; nothing is read.

        Raise `RejectedError` (a `ValueError`) if it is none of them.
        """
        return Handle(self._connection, self._connection.key_of(operation))

    def polling(
        self, *, final_state_via: FinalStateVia | None = None, **options: Unpack[PollingOptions]
    ) -> AsyncDurablePolling:
        """Return the `polling` of one call of a begin_ method: opswatch follows the operation.

        The poller's `result()` waits by the table and returns what the SDK would;
        `continuation_token()` is `SUBSCRIPTION/KEY`, with which another process goes on:
        `begin_…(…, polling=watcher.polling(), continuation_token=token)`.

        `final_state_via` says where the result is read if that is not as usual, in OpenAPI's words:
        `azure-async-operation`, `operation-location`, `location`, `original-uri`.
        """
        polling = AsyncDurablePolling(self._connection, Options(**options), final_state_via)
        self._pollings = [each for each in self._pollings if not each.posted.done()] + [polling]
        return polling

    def handle(self, poller: Any) -> Handle:
        """Return the handle of a poller that `polling` follows; raise `TypeError` for others."""
        polling = own_polling(poller)
        if not isinstance(polling, AsyncDurablePolling):
            raise TypeError(
                "the poller is not opswatch's: `await watcher.submit(poller)` hands it over"
            )
        return Handle(self._connection, polling.key)
