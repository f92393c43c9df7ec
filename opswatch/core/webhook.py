"""CloudEvents and Standard Webhooks without I/O: result to signed request, answer to reply.

Sources: the CloudEvents 1.0.2 JSON format (structured mode: in binary mode the signature would not
cover its headers), and `spec/standard-webhooks.md` of standard-webhooks/standard-webhooks.
"""

import base64
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from opswatch.core.http import CallbackRequest, HttpResponse, Layer, NoAnswer
from opswatch.core.keys import NOTHING
from opswatch.core.limits import shrink_error
from opswatch.core.redact import redact, redact_text
from opswatch.core.texts import cut, from_json, one_line, to_json
from opswatch.core.times import format_instant, parse_retry_after
from opswatch.core.urls import is_resource_url
from opswatch.core.watches import FinalStatus, Result

MAX_BODY = 20_000  # bytes
MAX_UNACCEPTABLE = 3  # attempts, before an answer that rejects the request ends the delivery
_MIN_KEY, _MAX_KEY = 24, 64  # bytes, "Signature scheme": recommended for symmetric keys
_PREFIX = "whsec_"
_MAX_SUBJECT = 1024
_ERROR_BUDGETS = (12_000, 4_000, 1_000)  # UTF-16 units of an error's JSON, tried in turn
_UNACCEPTABLE = frozenset({400, 413, 415, 422})
_FLOOR = timedelta(seconds=60)
# Before the next attempt. After 401, 403 and 404 a person has to fix something first.
_FLOORS = {429: _FLOOR} | dict.fromkeys((401, 403, 404), timedelta(minutes=5))


# --- signing


@dataclass(frozen=True, slots=True)
class Secret:
    """A symmetric signing key, which its `repr` hides."""

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
        """The secret as a receiver needs it."""
        return _PREFIX + base64.b64encode(self.key).decode()

    def sign(self, message_id: str, at: datetime, body: bytes) -> str:
        """Return the signature `v1,…` of `{id}.{timestamp}.{body}`."""
        content = f"{message_id}.{int(at.timestamp())}.".encode() + body
        digest = hmac.digest(self.key, content, "sha256")
        return f"v1,{base64.b64encode(digest).decode()}"


def request(  # noqa: PLR0913 - a signed request has so many parts
    url: str,
    message_id: str,
    body: bytes,
    secrets: tuple[Secret, ...],
    now: datetime,
    *,
    attempt: int = 1,
    traceparent: str | None = None,
) -> CallbackRequest:
    """Return the POST of the attempt that is made `now`, signed with every secret.

    Without a `traceparent` it carries a W3C trace context of the message, not sampled.
    """
    if traceparent is None:
        trace_id = sha256(message_id.encode()).hexdigest()[:32]
        span_id = sha256(f"{message_id}/{attempt - 1}".encode()).hexdigest()[:16]
        traceparent = f"00-{trace_id}-{span_id}-00"
    return CallbackRequest(
        url=url,
        headers={
            "content-type": "application/cloudevents+json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(secret.sign(message_id, now, body) for secret in secrets),
            "traceparent": traceparent,
            "opswatch-attempt": str(attempt),
        },
        body=body,
    )


# --- the event


def event(result: Result, message_id: str, *, with_result: bool = True) -> bytes:
    """Return the event of how an operation ended: under 20 kB, and the same each time.

    Its data is redacted, but for the names of the operation, and for `clientState`, which goes back
    to the user that posted it. Without `with_result` it has no member `result`.
    """
    operation, end, facts = result.facts.operation, result.end, result.facts
    value: Any = None
    is_whole = True
    if end.result is not None and not is_resource_url(operation.url):
        try:
            value = from_json(end.result)
        except ValueError:  # its row had to be cut
            is_whole = False
    subscription = operation.key.partition
    names = {
        "subscriptionId": None if subscription == NOTHING else subscription,
        "provider": operation.provider,
        "location": operation.location,
        "operationId": cut(operation.operation_id, _MAX_SUBJECT),
    }
    known: dict[str, Any] = {
        "kind": facts.kind,
        "status": end.status.value,
        "startTime": facts.start_time and format_instant(facts.start_time),
        "endTime": end.end_time and format_instant(end.end_time),
        "durationSeconds": result.duration_seconds,
        "error": _error(end.error.json) if end.error else None,
        "resourceId": facts.resource_id,
        "reason": _reason(result),
        "result": value,
        "clientState": None,
        "truncated": end.truncated or not is_whole,
    }
    if not with_result:
        del known["result"]
    data = names | redact(known)
    data["clientState"] = from_json(facts.client_state) if facts.client_state else None
    kind = f"opswatch.operation.{end.status.value.lower()}"
    subject = cut(operation.path, _MAX_SUBJECT)
    at = end.end_time or end.finished_at
    body = _encoded(message_id, kind, subject, at, data)
    if len(body) >= MAX_BODY:
        data["truncated"] = True
        if with_result:
            data["result"] = None
        body = _encoded(message_id, kind, subject, at, data)
    for budget in _ERROR_BUDGETS:
        if len(body) < MAX_BODY or data["error"] is None:
            break
        data["error"] = _error(shrink_error(to_json(data["error"]), budget))
        body = _encoded(message_id, kind, subject, at, data)
    return body


def _reason(result: Result) -> str | None:
    """Return why an end is not ARM's: for `TimedOut` the last word and the last miss."""
    end, facts = result.end, result.facts
    match end.status:
        case FinalStatus.LOST:
            return end.lost_reason
        case FinalStatus.TIMED_OUT:
            word = f"the last status was {end.last_status or 'never read'}"
            miss = f"; the last miss was {facts.last_miss}" if facts.last_miss else ""
            return word + miss
        case _:
            return None


def sample_event(message_id: str, now: datetime) -> bytes:
    """Return an event to try a receiver with."""
    return _encoded(message_id, "opswatch.test", "/opswatch/test", now, {"status": "Succeeded"})


def _encoded(message_id: str, kind: str, subject: str, at: datetime, data: dict[str, Any]) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": message_id,
        "source": "/opswatch",
        "type": kind,
        "subject": subject,
        "time": format_instant(at),
        "datacontenttype": "application/json",
        "data": data,
    }
    return to_json(envelope).encode()


def _error(json: str) -> dict[str, Any]:
    """Return an ARM error with all its five members."""
    error = from_json(json)
    return {
        "code": error.get("code"),
        "message": error.get("message"),
        "target": error.get("target"),
        "details": error.get("details") or [],
        "additionalInfo": error.get("additionalInfo") or [],
    }


# --- the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST and its outcome."""

    at: datetime
    duration: float  # seconds
    status_code: int | None = None
    layer: Layer | None = None  # which failed
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has accepted the event."""


@dataclass(frozen=True, slots=True)
class Final:
    """No further attempt will be made."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unacceptable:
    """The receiver rejects the request; a few more attempts are made, in case it is mistaken."""

    reason: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A later attempt may succeed: no sooner than `floor`, or than the receiver asks."""

    reason: str
    floor: timedelta = timedelta(0)
    retry_after: timedelta | None = None


Reply = Accepted | Final | Unacceptable | Failed


def read_answer(answer: HttpResponse | NoAnswer, now: datetime) -> Reply:
    """Return what the answer of a receiver means for the delivery."""
    match answer:
        case NoAnswer("refused", error):
            return Final(f"refused: {error}")
        case NoAnswer("timeout", error):
            return Failed(f"timeout: {error}", floor=_FLOOR)
        case NoAnswer(layer, error):
            return Failed(f"{layer}: {error}")
        case HttpResponse(code) if HTTPStatus.OK <= code < HTTPStatus.MULTIPLE_CHOICES:
            return Accepted()
        case HttpResponse(HTTPStatus.GONE):  # CloudEvents web hooks, 2.2: the receiver has retired
            return Final(str(HTTPStatus.GONE.value))
        case HttpResponse(code, headers):
            if headers.get("webhook-delivery", "").strip().lower() == "abort-message":
                return Final(f"{code} abort-message")
            retry_after = parse_retry_after(headers, now)
            if code in _UNACCEPTABLE:
                return Unacceptable(str(code), retry_after)
            return Failed(str(code), _FLOORS.get(code, timedelta(0)), retry_after)


def is_host_failure(answer: HttpResponse | NoAnswer) -> bool:
    """Return whether an answer shows a fault of the host, not of the request or its path."""
    if isinstance(answer, NoAnswer):
        return answer.layer != "refused"
    code = answer.status_code
    return code >= HTTPStatus.INTERNAL_SERVER_ERROR or code == HTTPStatus.TOO_MANY_REQUESTS


def attempt_of(answer: HttpResponse | NoAnswer, at: datetime, seconds: float) -> Attempt:
    """Return the attempt that ended with `answer`: its error is short, printable, redacted."""
    duration = round(seconds, 3)
    match answer:
        case NoAnswer(layer, error):
            text = one_line(redact_text(error))
            return Attempt(at=at, duration=duration, layer=layer, error=text)
        case HttpResponse(code) if HTTPStatus.OK <= code < HTTPStatus.MULTIPLE_CHOICES:
            return Attempt(at=at, duration=duration, status_code=code)
        case HttpResponse(code, _, body):
            text = redact_text(body.decode("utf-8", "replace"))
            error = one_line(f"{code} {text}").strip()
            return Attempt(at=at, duration=duration, status_code=code, layer="http", error=error)
