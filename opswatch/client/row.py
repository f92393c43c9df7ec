"""An operation as its row has it, whether it was read from a table or over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from opswatch.client.errors import (
    OperationCanceledError,
    OperationError,
    OperationFailedError,
    OperationLostError,
    OperationStoppedError,
    OperationTimedOutError,
)
from opswatch.core.watches import ARM_STATUSES, FinalStatus

_ERRORS: Mapping[str, tuple[type[OperationError], str, str]] = {
    FinalStatus.FAILED: (
        OperationFailedError,
        "Failed",
        "the operation has failed; ARM gives no reason",
    ),
    FinalStatus.CANCELED: (OperationCanceledError, "Canceled", "the operation was canceled"),
    FinalStatus.TIMED_OUT: (
        OperationTimedOutError,
        "OperationTimedOut",
        "it was watched until its deadline, and had not ended",
    ),
    FinalStatus.LOST: (OperationLostError, "OperationLost", "its status can no longer be read"),
    FinalStatus.STOPPED: (
        OperationStoppedError,
        "OperationStopped",
        "a user ended the watch; the operation itself may go on",
    ),
}


class OperationRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What opswatch knows of an operation; a field is None if its column is absent.

    Over HTTP, `url` has no query, callbacks have no path, and texts are free of secrets.
    """

    subscription_id: str
    key: str
    state: str  # `watching` or `finished`
    operation_id: str = ""
    # ARM's word as last seen; once finished `Succeeded`, `Failed`, `Canceled`, `TimedOut`, `Lost`
    # or `Stopped`; None before the first poll.
    status: str | None = None
    provider: str | None = None
    location: str | None = None
    collection: str | None = None
    api_version: str | None = None
    kind: str | None = None
    resource_id: str | None = None
    url: str | None = None
    registered_at: datetime | None = None
    last_polled_at: datetime | None = None
    deadline_at: datetime | None = None
    due_at: datetime | None = None  # of the next poll
    start_time: datetime | None = None
    end_time: datetime | None = None
    finished_at: datetime | None = None
    expected_end_at: datetime | None = None
    expected_end_earliest_at: datetime | None = None
    expected_end_latest_at: datetime | None = None
    slow: bool | None = None
    duration_seconds: float | None = None
    percent_complete: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_code_inner: str | None = None
    error_message_inner: str | None = None
    error_json: Any = None  # the ARM error, whole
    result_json: Any = None
    lost_reason: str | None = None
    polls: int = 0
    misses: int = 0
    last_miss: str | None = None
    round: int = 1
    earlier_ends: Any = None
    callbacks: Any = None
    callback_on: Any = None
    client_state: Any = None
    deliveries: Any = None  # over HTTP
    truncated: bool = False

    def __repr__(self) -> str:
        """Return no more than names the row: its URL may be signed, its result have secrets."""
        return f"<OperationRow {self.id} {self.state} {self.status}>"

    @property
    def id(self) -> str:
        """The two keys of the row, as `Watcher.get` takes them."""
        return f"{self.subscription_id}/{self.key}"

    @property
    def is_finished(self) -> bool:
        """Whether the operation has ended."""
        return self.state == "finished"

    @property
    def is_succeeded(self) -> bool:
        """Whether ARM says that the operation has succeeded."""
        return self.is_finished and self.status == FinalStatus.SUCCEEDED

    @property
    def can_be_watched_again(self) -> bool:
        """Whether the end is none of ARM's."""
        return self.is_finished and self.status not in ARM_STATUSES

    @property
    def shown(self) -> tuple[Any, ...]:
        """What makes a change if it differs; a poll that shows the same makes none."""
        return (
            self.state,
            self.status,
            self.percent_complete,
            self.misses,
            self.slow,
            self.round,
        )

    def raise_unless_succeeded(self) -> None:
        """Raise the `OperationError` of an end that is no success."""
        if not self.is_finished or self.is_succeeded:
            return
        kind, code, message = _ERRORS.get(self.status or "", _ERRORS[FinalStatus.FAILED])
        error = self.error_json if isinstance(self.error_json, dict) else {}
        details = error.get("details")
        if self.lost_reason:
            message = f"{message}: {self.lost_reason}"
        raise kind(
            self.error_code or code,
            self.error_message or message,
            [each for each in details if isinstance(each, dict)]
            if isinstance(details, list)
            else (),
            target=error["target"] if isinstance(error.get("target"), str) else None,
            row=self,
        )


def row_from_json(row: Mapping[str, Any]) -> OperationRow:
    """Return the row in JSON's values, whose names are those of the columns."""
    return msgspec.convert(row, OperationRow, strict=False)
