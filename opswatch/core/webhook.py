"""CloudEvents and Standard Webhooks without I/O: result to signed request, answer to reply.

Sources: the CloudEvents 1.0.2 JSON format (structured mode: in binary mode its headers would stand
outside the signature), and `spec/standard-webhooks.md` of standard-webhooks/standard-webhooks.
"""

import base64
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from opswatch.core import wire
from opswatch.core.limits import shrink_error
from opswatch.core.model import (
    Attempt,
    CallbackRequest,
    Delivery,
    HttpResponse,
    NoAnswer,
    Result,
)
from opswatch.core.redact import redact
from opswatch.core.texts import cut, from_json, one_line, to_json
from opswatch.core.timestamps import format_instant, parse_retry_after
from opswatch.core.urls import path_of

MAX_BODY = 20_000  # bytes
MAX_UNACCEPTABLE = 3  # attempts, before an answer that blames the request ends the delivery
_MIN_KEY, _MAX_KEY = 24, 64  # bytes, "Signature scheme": recommended for symmetric keys
_PREFIX = "whsec_"
_MAX_SUBJECT = 1024
_ERROR_BUDGETS = (12_000, 4_000, 1_000)  # UTF-16 units of an error's JSON, tried in turn
_UNACCEPTABLE = frozenset({400, 413, 415, 422})
_SLOWLY = frozenset({401, 403, 404})  # somebody has to mend something first
_FLOOR = timedelta(seconds=60)
_SLOW_FLOOR = timedelta(minutes=5)


# --- signing


@dataclass(frozen=True, slots=True)
class Secret:
    """A symmetric signing key; it never shows itself."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """Read `whsec_` and base64 of 24 to 64 bytes; raise `ValueError` that does not quote it."""
        if not text.startswith(_PREFIX):
            raise ValueError("a secret begins with whsec_")
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except ValueError as error:
            raise ValueError("a secret is whsec_ and base64") from error
        if not _MIN_KEY <= len(key) <= _MAX_KEY:
            raise ValueError(f"a secret has {_MIN_KEY} to {_MAX_KEY} bytes, not {len(key)}")
        return cls(key)

    @property
    def text(self) -> str:
        """The secret as it is handed to a receiver."""
        return _PREFIX + base64.b64encode(self.key).decode()

    def sign(self, message_id: str, at: datetime, body: bytes) -> str:
        """Return the signature `v1,…` of `{id}.{timestamp}.{body}`."""
        content = f"{message_id}.{int(at.timestamp())}.".encode() + body
        digest = hmac.digest(self.key, content, "sha256")
        return f"v1,{base64.b64encode(digest).decode()}"


def request(
    delivery: Delivery,
    body: bytes,
    secrets: tuple[Secret, ...],
    now: datetime,
    traceparent: str | None = None,
) -> CallbackRequest:
    """Return the POST of the attempt that is made `now`, signed with every secret."""
    return CallbackRequest(
        url=delivery.callback_url,
        headers={
            "content-type": "application/cloudevents+json",
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(
                secret.sign(delivery.delivery_id, now, body) for secret in secrets
            ),
            "traceparent": traceparent or _traceparent(delivery),
            "opswatch-attempt": str(delivery.attempts + 1),
        },
        body=body,
    )


def _traceparent(delivery: Delivery) -> str:
    """Return a W3C trace context of the delivery's own, where nobody records one: not sampled."""
    trace_id = sha256(delivery.delivery_id.encode()).hexdigest()[:32]
    span_id = sha256(f"{delivery.delivery_id}/{delivery.attempts}".encode()).hexdigest()[:16]
    return f"00-{trace_id}-{span_id}-00"


# --- the event


def event(result: Result, message_id: str) -> bytes:
    """Return the event that tells how an operation ended: under 20 kB, and the same each time."""
    data = _data(result)
    body = _encoded(result, message_id, data)
    if len(body) >= MAX_BODY:
        data |= {"result": None, "truncated": True}
        body = _encoded(result, message_id, data)
    for budget in _ERROR_BUDGETS:
        if len(body) < MAX_BODY or data["error"] is None:
            break
        data["error"] = _error(shrink_error(to_json(data["error"]), budget))
        body = _encoded(result, message_id, data)
    return body


def sample_event(message_id: str, now: datetime) -> bytes:
    """Return the event with which a receiver is tried out."""
    return to_json(
        _envelope(message_id, "opswatch.test", "/opswatch/test", now, {"status": "Succeeded"})
    ).encode()


def _encoded(result: Result, message_id: str, data: dict[str, Any]) -> bytes:
    kind = f"opswatch.operation.{result.end.status.value.lower()}"
    subject = cut(path_of(result.operation.url), _MAX_SUBJECT)
    at = result.end.end_time or result.end.finished_at
    return to_json(_envelope(message_id, kind, subject, at, data)).encode()


def _envelope(
    message_id: str, kind: str, subject: str, at: datetime, data: dict[str, Any]
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": message_id,
        "source": "/opswatch",
        "type": kind,
        "subject": subject,
        "time": format_instant(at),
        "datacontenttype": "application/json",
        "data": data,
    }


def _data(result: Result) -> dict[str, Any]:
    operation, end = result.operation, result.end
    subscription = operation.key.partition
    value, is_whole = _result_value(end.result)
    return {
        "subscriptionId": None if subscription == wire.NOTHING else subscription,
        "provider": operation.provider,
        "location": operation.location,
        "operationId": cut(operation.operation_id, _MAX_SUBJECT),
        "kind": result.kind,
        "status": end.status.value,
        "startTime": result.start_time and format_instant(result.start_time),
        "endTime": end.end_time and format_instant(end.end_time),
        "durationSeconds": wire.duration(result),
        "error": _error(end.error.json) if end.error else None,
        "result": value,
        "clientState": from_json(result.client_state) if result.client_state else None,
        "truncated": end.truncated or not is_whole,
    }


def _result_value(text: str | None) -> tuple[Any, bool]:
    """Return the result's value and True, or None and False where its row had to be cut."""
    if text is None:
        return None, True
    try:
        return redact(from_json(text)), True
    except ValueError:
        return None, False


def _error(json: str) -> dict[str, Any]:
    """Return an ARM error with all its five members, free of secrets."""
    error = redact(from_json(json))
    return {
        "code": error.get("code"),
        "message": error.get("message"),
        "target": error.get("target"),
        "details": error.get("details") or [],
        "additionalInfo": error.get("additionalInfo") or [],
    }


# --- the answer


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Final:
    """No further attempt will be made."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unacceptable:
    """The receiver blames the request; a few more attempts, in case it is mistaken."""

    reason: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It may work later: no sooner than `floor`, or than the receiver asks."""

    reason: str
    floor: timedelta = timedelta(0)
    retry_after: timedelta | None = None


Reply = Accepted | Final | Unacceptable | Failed


def read_answer(answer: HttpResponse | NoAnswer, now: datetime) -> Reply:
    """Return what a receiver's answer, or its silence, means for the delivery."""
    match answer:
        case NoAnswer("refused", error):
            return Final(f"refused: {error}")
        case NoAnswer("timeout", error):
            return Failed(f"timeout: {error}", floor=_FLOOR)
        case NoAnswer(layer, error):
            return Failed(f"{layer}: {error}")
        case HttpResponse():
            return _read_response(answer, now)


def _read_response(answer: HttpResponse, now: datetime) -> Reply:
    code = answer.status_code
    reason = str(code)
    if HTTPStatus.OK <= code < HTTPStatus.MULTIPLE_CHOICES:
        return Accepted()
    if code == HTTPStatus.GONE:  # CloudEvents web hooks, 2.2: the receiver has retired
        return Final(reason)
    if answer.headers.get("webhook-delivery", "").strip().lower() == "abort-message":
        return Final(f"{reason} abort-message")
    if code in _UNACCEPTABLE:
        return Unacceptable(reason, parse_retry_after(answer.headers, now))
    floor = timedelta(0)
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        floor = _FLOOR
    elif code in _SLOWLY:
        floor = _SLOW_FLOOR
    return Failed(reason, floor=floor, retry_after=parse_retry_after(answer.headers, now))


def attempt_of(answer: HttpResponse | NoAnswer, at: datetime, seconds: float) -> Attempt:
    """Return the log's line of one POST: the layer that failed, and a short, printable reason."""
    match answer:
        case NoAnswer(layer, error):
            return Attempt(at=at, duration=seconds, layer=layer, error=one_line(error))
        case HttpResponse(status_code, _, body):
            is_success = HTTPStatus.OK <= status_code < HTTPStatus.MULTIPLE_CHOICES
            text = one_line(f"{status_code} {body.decode('utf-8', 'replace')}")
            return Attempt(
                at=at,
                duration=seconds,
                status_code=status_code,
                layer=None if is_success else "http",
                error=None if is_success else text.strip(),
            )
