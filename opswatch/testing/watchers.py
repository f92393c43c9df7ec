"""Clients of an app in memory, for tests of programs that use the client.

    watcher = FakeWatcher()
    handle = await watcher.submit(url, callback_url=hook)
    watcher.app.end(handle.id, "Failed", error={"code": "Conflict", "message": "…"})
    with pytest.raises(OperationFailedError):
        await handle.result()

The code between is the client's own. Waits look every few milliseconds, so no test sleeps.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from azure.core.exceptions import ServiceRequestError

from opswatch.client import Watcher
from opswatch.client.calls import ASYNC_TIMING, SYNC_TIMING
from opswatch.client.connection import Connection, intake_from
from opswatch.client.errors import RejectedError
from opswatch.client.row import OperationRow, row_from_json
from opswatch.client.source import Posted
from opswatch.client.sync import Watcher as SyncWatcher
from opswatch.client.waiting import not_found
from opswatch.core.arm_errors import read_error
from opswatch.core.intake import Intake, Rejection
from opswatch.core.keys import Key
from opswatch.core.texts import from_json
from opswatch.core.watches import FinalStatus

_LONGEST_SLEEP = 0.005  # seconds


class FakeApp:
    """An app in memory: it registers what is posted, and a test says how operations go on.

    `posts` has the posted objects in their order. While `is_down`, nothing answers. `settings` are
    those of the app, such as `OPSWATCH_SUBSCRIPTION_ID`.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._intake = intake_from(settings or {})
        self.intake: Intake | None = self._intake
        self.posts: list[dict[str, Any]] = []
        self.rows: dict[Key, OperationRow] = {}
        self.is_down = False

    def progress(self, operation: str, status: str = "InProgress", **columns: Any) -> OperationRow:
        """Have a poll see `status`; `columns` are fields of `OperationRow`."""
        return self._change(operation, status=status, **columns)

    def end(
        self,
        operation: str,
        status: str = "Succeeded",
        *,
        error: Mapping[str, Any] | None = None,
        result: Any = None,
        **columns: Any,
    ) -> OperationRow:
        """End an operation; `error` is an ARM error, with `code` and `message`."""
        found = read_error({"error": dict(error)}) if error else None
        if found is not None:
            columns |= {
                "error_code": found.code,
                "error_message": found.message,
                "error_code_inner": found.code_inner,
                "error_message_inner": found.message_inner,
                "error_json": from_json(found.json),
            }
        now = datetime.now(UTC)
        return self._change(
            operation,
            state="finished",
            status=FinalStatus(status).value,
            finished_at=now,
            result_json=result,
            **columns,
        )

    def _change(self, operation: str, **columns: Any) -> OperationRow:
        connection = Connection(source=self, timing=ASYNC_TIMING)
        key = connection.key_of(operation)
        if key not in self.rows:
            raise not_found(key)
        self.rows[key] = msgspec.structs.replace(self.rows[key], **columns)
        return self.rows[key]

    # --- what the client calls

    async def post(self, body: bytes, now: datetime) -> Posted:
        """Register an operation, as the app does."""
        self._answer()
        read = self._intake.read(body, now)
        if isinstance(read, Rejection):
            raise RejectedError(read.reason, read.detail)
        posted = from_json(body)
        self.posts.append(posted)
        key = read.operation.key
        known = self.rows.get(key)
        if known is None or (read.again and known.is_finished):
            self.rows[key] = row_from_json(
                {
                    "subscriptionId": key.partition,
                    "key": key.row,
                    "state": "watching",
                    "operationId": read.operation.operation_id,
                    "provider": read.operation.provider,
                    "location": read.operation.location,
                    "collection": read.operation.collection,
                    "apiVersion": read.operation.api_version,
                    "url": read.operation.url,
                    "kind": read.kind,
                    "resourceId": read.resource_id,
                    "clientState": posted.get("clientState"),
                    "registeredAt": now,
                    "round": known.round + 1 if known else 1,
                }
            )
        return Posted(key=key, at=now)

    async def read(self, key: Key) -> OperationRow | None:
        """Return the operation, or None if it was not posted."""
        self._answer()
        return self.rows.get(key)

    async def rejection(self, posted: Posted) -> RejectedError | None:  # noqa: ARG002 - the source's
        """Return None: a post was answered at once."""
        return None

    async def stop(self, key: Key) -> OperationRow:
        """Stop a watch."""
        self._answer()
        row = self.rows.get(key)
        return row if row and row.is_finished else self.end(str(key), "Stopped")

    async def redeliver(
        self,
        key: Key,  # noqa: ARG002 - the source's
        delivery_id: str | None,  # noqa: ARG002 - the source's
    ) -> list[dict[str, Any]]:
        """Return nothing: no callback is sent."""
        self._answer()
        return []

    async def close(self) -> None:
        """Do nothing."""

    def _answer(self) -> None:
        if self.is_down:
            raise ServiceRequestError("the fake app is down")


class FakeWatcher(Watcher):
    """`opswatch.client.Watcher` over `app`, which is new unless given."""

    def __init__(self, app: FakeApp | None = None) -> None:
        self.app = app or FakeApp()
        timing = replace(
            ASYNC_TIMING, sleep=lambda seconds: asyncio.sleep(min(seconds, _LONGEST_SLEEP))
        )
        self._open(Connection(source=self.app, timing=timing))


class FakeSyncWatcher(SyncWatcher):
    """`opswatch.client.sync.Watcher` over `app`, which is new unless given."""

    def __init__(self, app: FakeApp | None = None) -> None:
        self.app = app or FakeApp()
        timing = replace(
            SYNC_TIMING, sleep=lambda seconds: time.sleep(min(seconds, _LONGEST_SLEEP))
        )
        self._open(Connection(source=self.app, timing=timing))
