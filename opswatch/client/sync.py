"""The sync client: the same as `opswatch.client`, with the sync clients of the SDKs.

It needs no event loop and starts no thread: the same code runs, and its calls return at once.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from opswatch.client import watcher as async_face
from opswatch.client.calls import SYNC_TIMING, run_sync
from opswatch.client.connection import Connection, intake_from
from opswatch.client.handover import hand_over
from opswatch.client.http import open_http
from opswatch.client.polling import FinalStateVia, SyncDurablePolling
from opswatch.client.posts import Options, PollingOptions, PostOptions, own_polling
from opswatch.client.row import OperationRow
from opswatch.client.source import Posted
from opswatch.client.storage import StorageSource, check_clients, table_clients
from opswatch.core.keys import Key

if TYPE_CHECKING:
    from azure.data.tables import TableClient
    from azure.storage.queue import QueueClient

_LONGEST_CLOSE = 30.0  # seconds, for posts that are under way


class Handle:
    """One operation, as `opswatch.client.Handle`: its methods return instead of being awaited."""

    def __init__(self, inner: async_face.Handle) -> None:
        self._inner = inner

    @property
    def id(self) -> str:
        """`SUBSCRIPTION/KEY`, as `Watcher.get` and `continuation_token` take it."""
        return self._inner.id

    @property
    def has_ended(self) -> bool:
        """Whether the operation had ended before it was handed over: nothing is watched."""
        return self._inner.has_ended

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return repr(self._inner)

    def row(self) -> OperationRow:
        """Return what is known of the operation now."""
        return run_sync(self._inner.row())

    def result(self, timeout: timedelta | float | None = None) -> OperationRow:
        """Wait for the end, and return the row of an operation that has succeeded."""
        return run_sync(self._inner.result(timeout))

    def changes(self, timeout: timedelta | float | None = None) -> Iterator[OperationRow]:
        """Yield the operation as it is, and again after each change until it has ended."""
        changes = self._inner.changes(timeout)
        while (row := run_sync(anext(changes, None))) is not None:
            yield row

    def stop(self) -> OperationRow:
        """Stop watching; the ARM operation goes on. Over HTTP only."""
        return run_sync(self._inner.stop())

    def redeliver(self, delivery_id: str | None = None) -> list[dict[str, Any]]:
        """Send the callbacks that have not arrived, or the one with this ID. Over HTTP only."""
        return run_sync(self._inner.redeliver(delivery_id))


class Watcher:
    """The client of one opswatch app, as `opswatch.client.Watcher`, with sync clients."""

    def __init__(
        self,
        queue: "QueueClient",
        results: "TableClient | None" = None,
        watches: "TableClient | None" = None,
        *,
        rejections: "TableClient | None" = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        check_clients(queue, table_clients(results, watches, rejections), is_async=False)
        source = StorageSource(queue, results, watches, rejections, intake_from(settings or {}))
        self._open(Connection(source=source, timing=SYNC_TIMING))

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Return the client of what the environment names, as `opswatch.client.Watcher` does."""
        from opswatch.client.environment import open_env  # noqa: PLC0415 - not needed otherwise

        return cls.over(Connection(source=open_env(env, is_async=False), timing=SYNC_TIMING))

    @classmethod
    def over_http(cls, url: str, key: str | None = None, *, write_key: str | None = None) -> Self:
        """Return the client of the app at `url`, as `opswatch.client.Watcher` does."""
        source = open_http(url, key, write_key, is_async=False)
        return cls.over(Connection(source=source, timing=SYNC_TIMING))

    @classmethod
    def over(cls, connection: Connection) -> Self:
        """Return the client of another source, as tests have one."""
        watcher = cls.__new__(cls)
        watcher._open(connection)  # noqa: SLF001 - its own
        return watcher

    def _open(self, connection: Connection) -> None:
        self._connection = connection
        self._pollings: list[SyncDurablePolling] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for posts that are under way, and close what this client has opened."""
        wait([each.posted for each in self._pollings if each.is_started], _LONGEST_CLOSE)
        run_sync(self._connection.source.close())

    def submit(self, operation: Any, **options: Unpack[PostOptions]) -> Handle:
        """Hand an operation over, as `opswatch.client.Watcher.submit`."""
        polling = own_polling(operation)
        if isinstance(polling, SyncDurablePolling):
            polling.posted.result()
        handed = run_sync(hand_over(self._connection, operation, Options(**options)))
        return self._handle(handed.key, handed.posted, handed.ended)

    def get(self, operation: str) -> Handle:
        """Return the handle of `SUBSCRIPTION/KEY` or any form that can be posted; read nothing."""
        return self._handle(self._connection.key_of(operation))

    def polling(
        self, *, final_state_via: FinalStateVia | None = None, **options: Unpack[PollingOptions]
    ) -> SyncDurablePolling:
        """Return the `polling` of one call of a begin_ method, as `opswatch.client.Watcher` does.

        The poller's thread posts the operation at once. Close the watcher, or end its `with`, to be
        sure that this is done before the program ends.
        """
        polling = SyncDurablePolling(self._connection, Options(**options), final_state_via)
        self._pollings = [each for each in self._pollings if not each.posted.done()] + [polling]
        return polling

    def handle(self, poller: Any) -> Handle:
        """Return the handle of a poller that `polling` follows; raise `TypeError` for others."""
        polling = own_polling(poller)
        if not isinstance(polling, SyncDurablePolling):
            raise TypeError("the poller is not opswatch's: `watcher.submit(poller)` hands it over")
        return self._handle(polling.key)

    def _handle(
        self, key: Key, posted: Posted | None = None, ended: OperationRow | None = None
    ) -> Handle:
        return Handle(async_face.Handle(self._connection, key, posted=posted, ended=ended))
