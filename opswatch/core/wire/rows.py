"""Table rows: how each noun stands in its table, property by property."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from opswatch.core.model import (
    ArmError,
    Attempt,
    Delivery,
    DeliveryState,
    End,
    FinalStatus,
    Followed,
    Host,
    Key,
    Operation,
    Reason,
    Rejection,
    Result,
    TimelineEntry,
    Watch,
)
from opswatch.core.texts import from_json, to_json
from opswatch.core.timestamps import format_instant, parse_instant
from opswatch.core.wire.keys import date_partition, timeline_key

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = dict[str, Any]  # property name -> str, int, float, bool or aware datetime; never None


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How one kind of noun stands in its table."""

    table: str
    key: Callable[[T], Key]
    columns: Callable[[T], Mapping[str, Any]]
    read: Callable[[Row], T]
    due: str = ""  # of a live table: the property that says when its row is to be acted on
    late: str = ""  # the property that says when it was, where it has only been woken since

    def row(self, noun: T) -> Row:
        """Return the whole row of `noun`: its keys, and every property that it has."""
        key = self.key(noun)
        present = {name: value for name, value in self.columns(noun).items() if value is not None}
        return {"PartitionKey": key.partition, "RowKey": key.row, **present}

    @property
    def due_columns(self) -> list[str]:
        """The properties that `due_since` reads."""
        return [name for name in (self.due, self.late) if name]

    def due_since(self, row: Row) -> datetime:
        """Return since when the row of a live table is due, or will be."""
        return _plain(row.get(self.late) or row[self.due])


def _key(row: Row) -> Key:
    return Key(row["PartitionKey"], row["RowKey"])


def _instant(row: Row, name: str) -> datetime | None:
    value = row.get(name)
    return None if value is None else _plain(value)


def _plain(value: datetime) -> datetime:
    """Return a plain datetime in UTC of what the tables SDK hands out."""
    return _EPOCH + (value - _EPOCH)


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
        key=_key(row),
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
        "registered_at": _plain(row["registeredAt"]),
        "deadline_at": _plain(row["deadlineAt"]),
        "kind": row.get("kind"),
        "status": row.get("status"),
        "start_time": _instant(row, "startTime"),
        "last_polled_at": _instant(row, "lastPolledAt"),
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
        due_at=_plain(row["dueAt"]),
        seq=row["seq"],
        late_since=_instant(row, "lateSince"),
        unreadable_since=_instant(row, "unreadableSince"),
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
        finished_at=_plain(row["finishedAt"]),
        end_time=_instant(row, "endTime"),
        error=_read_error(row),
        result=row.get("resultJson"),
        lost_reason=row.get("lostReason"),
        truncated=row["truncated"],
    )
    return Result(**_read_followed(row), end=end)


class _LoggedAttempt(msgspec.Struct, rename="camel", omit_defaults=True):
    at: datetime
    duration: float
    status_code: int | None = None
    layer: str | None = None
    error: str | None = None


_decode_log = msgspec.json.Decoder(list[_LoggedAttempt]).decode


def _log_text(log: tuple[Attempt, ...]) -> str:
    return to_json(
        [_LoggedAttempt(a.at, round(a.duration, 3), a.status_code, a.layer, a.error) for a in log]
    )


def _read_log(text: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            at=a.at,
            duration=a.duration,
            status_code=a.status_code,
            layer=a.layer,  # type: ignore[arg-type]  # written by _log_text
            error=a.error,
        )
        for a in _decode_log(text)
    )


def _delivery_columns(delivery: Delivery) -> Row:
    return {
        "operationKey": delivery.operation.row,
        "deliveryId": delivery.delivery_id,
        "callbackUrl": delivery.callback_url,
        "state": delivery.state.value,
        "reason": delivery.reason,
        "attempts": delivery.attempts,
        "roundAttempts": delivery.round_attempts,
        "seq": delivery.seq,
        "lastStatusCode": delivery.last_status_code,
        "lastError": delivery.last_error,
        "lastAttemptAt": delivery.last_attempt_at,
        "startedAt": delivery.started_at,
        "nextAttemptAt": delivery.next_attempt_at,
        "deliveredAt": delivery.delivered_at,
        "attemptLog": _log_text(delivery.attempt_log),
    }


def _read_delivery(row: Row) -> Delivery:
    return Delivery(
        key=_key(row),
        operation=Key(row["PartitionKey"], row["operationKey"]),
        delivery_id=row["deliveryId"],
        callback_url=row["callbackUrl"],
        started_at=_plain(row["startedAt"]),
        next_attempt_at=_instant(row, "nextAttemptAt"),
        state=DeliveryState(row["state"]),
        reason=row.get("reason"),
        attempts=row["attempts"],
        round_attempts=row["roundAttempts"],
        seq=row["seq"],
        last_status_code=row.get("lastStatusCode"),
        last_error=row.get("lastError"),
        last_attempt_at=_instant(row, "lastAttemptAt"),
        delivered_at=_instant(row, "deliveredAt"),
        attempt_log=_read_log(row["attemptLog"]),
    )


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
        registered_at=_plain(row["registeredAt"]),
        status=row.get("status"),
        kind=row.get("kind"),
        location=row.get("location"),
        start_time=_instant(row, "startTime"),
        end_time=_instant(row, "endTime"),
        finished_at=_instant(row, "finishedAt"),
        error_code=row.get("errorCode"),
    )


def _rejection_columns(rejection: Rejection) -> Row:
    return {
        "reason": rejection.reason.value,
        "detail": rejection.detail,
        "body": rejection.body,
        "receivedAt": rejection.received_at,
        "count": rejection.count,
    }


def _read_rejection(row: Row) -> Rejection:
    return Rejection(
        reason=Reason(row["reason"]),
        detail=row["detail"],
        body=row["body"],
        body_sha256=row["RowKey"],
        received_at=_plain(row["receivedAt"]),
        count=row["count"],
    )


def host_key(name: str) -> Key:
    """Return where a host's health is kept."""
    return Key("hosts", name)


def _host_columns(host: Host) -> Row:
    return {"failures": host.failures, "openUntil": host.open_until}


def _read_host(row: Row) -> Host:
    return Host(name=row["RowKey"], failures=row["failures"], open_until=_plain(row["openUntil"]))


WATCHES: Codec[Watch] = Codec(
    "watches", lambda w: w.key, _watch_columns, _read_watch, due="dueAt", late="lateSince"
)
RESULTS: Codec[Result] = Codec("results", lambda r: r.operation.key, _result_columns, _read_result)
OUTBOX: Codec[Delivery] = Codec(
    "outbox", lambda d: d.key, _delivery_columns, _read_delivery, due="nextAttemptAt"
)
DELIVERIES: Codec[Delivery] = Codec(
    "deliveries", lambda d: d.key, _delivery_columns, _read_delivery
)
TIMELINE: Codec[TimelineEntry] = Codec(
    "timeline",
    lambda e: timeline_key(e.operation, e.registered_at),
    _timeline_columns,
    _read_timeline,
)
REJECTIONS: Codec[Rejection] = Codec(
    "rejections",
    lambda r: Key(date_partition(r.received_at), r.body_sha256),
    _rejection_columns,
    _read_rejection,
)
HOSTS: Codec[Host] = Codec(
    "hosts", lambda h: host_key(h.name), _host_columns, _read_host, due="openUntil"
)
TABLES = tuple(
    codec.table for codec in (WATCHES, RESULTS, OUTBOX, DELIVERIES, TIMELINE, REJECTIONS, HOSTS)
)
