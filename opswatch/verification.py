"""For receivers: whether a callback is genuine, and the event that it brings.

Sources: `spec/standard-webhooks.md` of standard-webhooks/standard-webhooks, and CloudEvents 1.0.2.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from opswatch.core.errors import OpswatchError
from opswatch.core.webhook import Secret

TOLERANCE = timedelta(minutes=5)  # between the time of an attempt and ours
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_LONGEST_NUMBER = 10  # digits


class VerificationError(OpswatchError):
    """A request that is not genuine, or not of now: answer it with 401, and do not act on it."""


class EventError(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The error of an operation, as ARM has it."""

    code: str | None = None
    message: str | None = None
    target: str | None = None
    details: Any = ()
    additional_info: Any = ()


class EventData(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How an operation has ended."""

    status: str  # `Succeeded`, `Failed`, `Canceled`, `TimedOut` or `Lost`
    subscription_id: str | None = None
    provider: str | None = None
    location: str | None = None
    operation_id: str | None = None
    kind: str | None = None
    resource_id: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration_seconds: float | None = None
    error: EventError | None = None
    reason: str | None = None  # of `TimedOut` and `Lost`
    result: Any = None
    client_state: Any = None  # as it was posted
    truncated: bool = False


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent of opswatch."""

    id: str  # the same for every attempt: store it, and act once
    type: str  # `opswatch.operation.failed` and so on, or `opswatch.test`
    source: str
    time: datetime
    data: EventData
    subject: str = ""  # the path of the operation

    @property
    def is_test(self) -> bool:
        """Whether a person tries the receiver: there is no operation."""
        return self.type == "opswatch.test"


_decode = msgspec.json.Decoder(Event).decode


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    now: datetime | None = None,
) -> Event:
    """Return the event of a callback; raise `VerificationError` if it is not genuine.

    `body` is the request's as it was received, before any parser; the names of `headers` may have
    any case. `secrets` are those that the app may sign with (`whsec_…`, separated by spaces if they
    are one text): during a rotation both. Raises `ValueError` if there is none, or one is
    malformed: an empty key would accept what anybody signs. `now` is for tests.
    """
    keys = _read_secrets(secrets)
    raw = body.encode() if isinstance(body, str) else bytes(body)
    named = {str(name).lower(): value for name, value in headers.items()}
    missing = [name for name in (_ID, _TIMESTAMP, _SIGNATURE) if not named.get(name)]
    if missing:
        raise VerificationError(f"the request has no header {missing[0]}")
    if not (named[_ID] + named[_SIGNATURE]).isascii():
        raise VerificationError(f"{_ID} or {_SIGNATURE} is not ASCII")
    stamp = named[_TIMESTAMP]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _LONGEST_NUMBER):
        raise VerificationError(f"the header {_TIMESTAMP} is not a number of seconds")
    at = datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(stamp))
    given = [each.encode() for each in named[_SIGNATURE].split(" ") if each]
    expected = [key.sign(named[_ID], at, raw).encode() for key in keys]
    # Each with each, so that the time taken says nothing.
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    if not any(matches):
        raise VerificationError("no signature is of one of the secrets")
    if abs((now or datetime.now(UTC)) - at) > TOLERANCE:
        raise VerificationError("the request is more than five minutes from now: repeated, or late")
    try:
        event = _decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise VerificationError(f"the body is no event of opswatch: {error}") from error
    if event.id != named[_ID]:
        raise VerificationError(f"the event is not the one that {_ID} names")
    return event


def _read_secrets(secrets: str | Sequence[str]) -> list[Secret]:
    texts = secrets.split() if isinstance(secrets, str) else [each.strip() for each in secrets]
    if not texts:
        raise ValueError("there is no secret: nothing could be verified")
    return [Secret.parse(text) for text in texts]
