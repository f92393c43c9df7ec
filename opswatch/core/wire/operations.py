"""Rows of operations: watches, results, and the lines of the list."""

from typing import Any

import msgspec

from opswatch.core.model import (
    ArmError,
    End,
    FinalStatus,
    Followed,
    Key,
    Operation,
    Result,
    TimelineEntry,
    Watch,
)
from opswatch.core.texts import from_json, to_json
from opswatch.core.timestamps import format_instant, parse_instant
from opswatch.core.wire.codec import Codec, Row, instant, key_of, plain
from opswatch.core.wire.keys import timeline_key


def _operation_columns(operation: Operation) -> Row:
    return {
        "operationId": operation.operation_id,
        "provider": operation.provider,
        "location": operation.location,
        "collection": operation.collection,
        "apiVersion": operation.api_version,
        "url": operation.url,
    }


def _read_operation(row: Row) -> Operation:
    return Operation(
        key=key_of(row),
        url=row["url"],
        provider=row.get("provider"),
        location=row.get("location"),
        collection=row.get("collection"),
        operation_id=row["operationId"],
        api_version=row.get("apiVersion"),
    )


def _followed_columns(followed: Followed) -> Row:
    return _operation_columns(followed.operation) | {
        "kind": followed.kind,
        "status": followed.status,
        "registeredAt": followed.registered_at,
        "deadlineAt": followed.deadline_at,
        "startTime": followed.start_time,
        "lastPolledAt": followed.last_polled_at,
        "percentComplete": followed.percent_complete,
        "polls": followed.polls,
        "misses": followed.misses,
        "lastMiss": followed.last_miss,
        "callbacks": to_json(followed.callbacks),
        "clientState": followed.client_state,
    }


def _read_followed(row: Row) -> dict[str, Any]:
    percent = row.get("percentComplete")
    return {
        "operation": _read_operation(row),
        "registered_at": plain(row["registeredAt"]),
        "deadline_at": plain(row["deadlineAt"]),
        "kind": row.get("kind"),
        "status": row.get("status"),
        "start_time": instant(row, "startTime"),
        "last_polled_at": instant(row, "lastPolledAt"),
        "percent_complete": None if percent is None else float(percent),
        "polls": row["polls"],
        "misses": row["misses"],
        "last_miss": row.get("lastMiss"),
        "callbacks": tuple(from_json(row["callbacks"])),
        "client_state": row.get("clientState"),
    }


def _error_columns(end: End) -> Row:
    error = end.error
    return {
        "errorCode": error and error.code,
        "errorMessage": error and error.message,
        "errorJson": error and error.json,
        "resultJson": end.result,
    }


def _read_error(row: Row) -> ArmError | None:
    if "errorJson" not in row:
        return None
    return ArmError(
        code=row.get("errorCode"), message=row.get("errorMessage"), json=row["errorJson"]
    )


class _KeptEnd(msgspec.Struct, rename="camel", omit_defaults=True):
    """The small facts of an end, as a watch keeps them until its result stands."""

    status: str
    finished_at: str
    end_time: str | None = None
    lost_reason: str | None = None
    truncated: bool = False


_decode_kept_end = msgspec.json.Decoder(_KeptEnd).decode


def _watch_columns(watch: Watch) -> Row:
    columns = _followed_columns(watch) | {
        "dueAt": watch.due_at,
        "seq": watch.seq,
        "lateSince": watch.late_since,
        "unreadableSince": watch.unreadable_since,
        "isDoubted": watch.is_doubted,
    }
    if watch.end is None:
        return columns
    kept = _KeptEnd(
        status=watch.end.status,
        finished_at=format_instant(watch.end.finished_at),
        end_time=format_instant(watch.end.end_time) if watch.end.end_time else None,
        lost_reason=watch.end.lost_reason,
        truncated=watch.end.truncated,
    )
    return columns | _error_columns(watch.end) | {"end": to_json(kept)}


def _read_watch(row: Row) -> Watch:
    return Watch(
        **_read_followed(row),
        due_at=plain(row["dueAt"]),
        seq=row["seq"],
        late_since=instant(row, "lateSince"),
        unreadable_since=instant(row, "unreadableSince"),
        is_doubted=row.get("isDoubted", False),
        end=_read_kept_end(row) if "end" in row else None,
    )


def _read_kept_end(row: Row) -> End:
    kept = _decode_kept_end(row["end"])
    finished_at = parse_instant(kept.finished_at)
    assert finished_at is not None, row["end"]  # noqa: S101 - written by _watch_columns
    return End(
        status=FinalStatus(kept.status),
        finished_at=finished_at,
        end_time=parse_instant(kept.end_time),
        error=_read_error(row),
        result=row.get("resultJson"),
        lost_reason=kept.lost_reason,
        truncated=kept.truncated,
    )


def _result_columns(result: Result) -> Row:
    end = result.end
    return (
        _followed_columns(result)
        | _error_columns(end)
        | {
            "status": end.status.value,
            "endTime": end.end_time,
            "finishedAt": end.finished_at,
            "durationSeconds": duration(result),
            "lostReason": end.lost_reason,
            "truncated": end.truncated,
        }
    )


def duration(result: Result) -> float | None:
    """Return how long ARM says that the operation took, in seconds; None where it does not say."""
    start, end = result.start_time, result.end.end_time
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()


def _read_result(row: Row) -> Result:
    end = End(
        status=FinalStatus(row["status"]),
        finished_at=plain(row["finishedAt"]),
        end_time=instant(row, "endTime"),
        error=_read_error(row),
        result=row.get("resultJson"),
        lost_reason=row.get("lostReason"),
        truncated=row["truncated"],
    )
    return Result(**_read_followed(row), end=end)


def _timeline_columns(entry: TimelineEntry) -> Row:
    return {
        "subscriptionId": entry.operation.partition,
        "operationKey": entry.operation.row,
        "registeredAt": entry.registered_at,
        "status": entry.status,
        "kind": entry.kind,
        "location": entry.location,
        "startTime": entry.start_time,
        "endTime": entry.end_time,
        "finishedAt": entry.finished_at,
        "errorCode": entry.error_code,
    }


def _read_timeline(row: Row) -> TimelineEntry:
    return TimelineEntry(
        operation=Key(row["subscriptionId"], row["operationKey"]),
        registered_at=plain(row["registeredAt"]),
        status=row.get("status"),
        kind=row.get("kind"),
        location=row.get("location"),
        start_time=instant(row, "startTime"),
        end_time=instant(row, "endTime"),
        finished_at=instant(row, "finishedAt"),
        error_code=row.get("errorCode"),
    )


WATCHES: Codec[Watch] = Codec(
    "watches", lambda w: w.key, _watch_columns, _read_watch, due="dueAt", late="lateSince"
)
RESULTS: Codec[Result] = Codec("results", lambda r: r.operation.key, _result_columns, _read_result)
TIMELINE: Codec[TimelineEntry] = Codec(
    "timeline",
    lambda e: timeline_key(e.operation, e.registered_at),
    _timeline_columns,
    _read_timeline,
)
