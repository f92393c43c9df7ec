"""Rows of what was rejected."""

from opswatch.core.model import Key, Reason, Rejection
from opswatch.core.wire.codec import Codec, Row, plain
from opswatch.core.wire.keys import date_partition


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
        received_at=plain(row["receivedAt"]),
        count=row["count"],
    )


REJECTIONS: Codec[Rejection] = Codec(
    "rejections",
    lambda r: Key(date_partition(r.received_at), r.body_sha256),
    _rejection_columns,
    _read_rejection,
)
