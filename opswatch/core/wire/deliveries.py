"""Rows of deliveries, owed and settled, and of the hosts that they go to."""

from datetime import datetime

import msgspec

from opswatch.core.model import Attempt, Delivery, DeliveryState, Host, Key
from opswatch.core.texts import to_json
from opswatch.core.wire.codec import Codec, Row, instant, key_of, plain


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
        key=key_of(row),
        operation=Key(row["PartitionKey"], row["operationKey"]),
        delivery_id=row["deliveryId"],
        callback_url=row["callbackUrl"],
        started_at=plain(row["startedAt"]),
        next_attempt_at=instant(row, "nextAttemptAt"),
        state=DeliveryState(row["state"]),
        reason=row.get("reason"),
        attempts=row["attempts"],
        round_attempts=row["roundAttempts"],
        seq=row["seq"],
        last_status_code=row.get("lastStatusCode"),
        last_error=row.get("lastError"),
        last_attempt_at=instant(row, "lastAttemptAt"),
        delivered_at=instant(row, "deliveredAt"),
        attempt_log=_read_log(row["attemptLog"]),
    )


def host_key(name: str) -> Key:
    """Return where a host's health is kept."""
    return Key("hosts", name)


def _host_columns(host: Host) -> Row:
    return {"failures": host.failures, "openUntil": host.open_until}


def _read_host(row: Row) -> Host:
    return Host(name=row["RowKey"], failures=row["failures"], open_until=plain(row["openUntil"]))


OUTBOX: Codec[Delivery] = Codec(
    "outbox", lambda d: d.key, _delivery_columns, _read_delivery, due="nextAttemptAt"
)
DELIVERIES: Codec[Delivery] = Codec(
    "deliveries", lambda d: d.key, _delivery_columns, _read_delivery
)
HOSTS: Codec[Host] = Codec(
    "hosts", lambda h: host_key(h.name), _host_columns, _read_host, due="openUntil"
)
