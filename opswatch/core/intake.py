"""Posted messages: every accepted form becomes a registration, anything else a rejection."""

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from opswatch.core.callback_policy import CallbackRules
from opswatch.core.errors import Reason, RefusedError
from opswatch.core.keys import Key, Operation, operation_from_url
from opswatch.core.texts import JsonText, cut, from_json, to_json, utf16_length
from opswatch.core.times import parse_duration, parse_instant
from opswatch.core.urls import own_url, with_api_version

MAX_MESSAGE = 64 * 1024  # bytes: what a queue holds
MAX_CLIENT_STATE = 4 * 1024  # bytes, as compact JSON
MAX_KIND = 256  # UTF-16 units
MAX_RESOURCE_ID = 2048
# The ends that a callback can be restricted to: a watch that a user stopped has none.
CALLBACK_ENDS = ("Succeeded", "Failed", "Canceled", "TimedOut", "Lost")
MIN_TIMEOUT, MAX_TIMEOUT = timedelta(seconds=30), timedelta(days=7)
_BOM = "\ufeff"
_BARE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What an accepted message asks for."""

    operation: Operation
    kind: str | None = None
    resource_id: str | None = None
    callback_url: str | None = None
    is_default_callback: bool = False  # the settings', which is for an operation's first post alone
    callback_on: tuple[str, ...] | None = None  # the ends that the callback gets; None: all
    start_time: datetime | None = None
    timeout: timedelta | None = None
    client_state: JsonText | None = None
    again: bool = False  # watch the operation again if it ended without a word of ARM


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """The record of a message that cannot be accepted, and why."""

    reason: Reason
    detail: str
    body: str  # as much of it as a table property can hold
    body_sha256: str
    received_at: datetime
    count: int = 1  # how often the same body was posted on that day

    @property
    def key(self) -> Key:
        """The UTC date, then the digest of the body."""
        return Key(self.received_at.astimezone(UTC).date().isoformat(), self.body_sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The settings for parts that a message leaves out."""

    subscription_id: str | None = None
    location: str | None = None
    provider: str | None = "Microsoft.Cache"
    api_version: str | None = "2024-10-01"
    callback_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Reads posted messages under one set of settings."""

    endpoint: str  # ARM's scheme and host
    defaults: Defaults
    rules: CallbackRules

    def read(self, body: bytes, now: datetime) -> Registration | Rejection:
        """Return what a posted message asks for, or why it cannot be accepted; never raise."""
        try:
            text = _text(body)
            if text[0] not in "{[":
                return Registration(
                    operation=operation_from_url(self._url(text, {})),
                    callback_url=self.defaults.callback_url,
                    is_default_callback=self.defaults.callback_url is not None,
                )
            posted = _object(text)
            return Registration(
                operation=operation_from_url(self._url(_operation_text(posted), posted)),
                kind=_label(posted, "kind", MAX_KIND),
                resource_id=_label(posted, "resourceId", MAX_RESOURCE_ID),
                callback_url=self._callback(posted),
                is_default_callback=(
                    posted.get("callbackUrl") is None and self.defaults.callback_url is not None
                ),
                callback_on=_callback_on(posted),
                start_time=parse_instant(posted.get("startTime")),
                timeout=_timeout(posted),
                client_state=_client_state(posted),
                again=_again(posted),
            )
        except RefusedError as refused:
            return rejection(body, refused.reason, refused.detail, now)

    def _url(self, text: str, posted: dict[str, Any]) -> str:
        """Return the status URL that one of the three forms means, ready to be sent."""
        version = _string(posted, "apiVersion") or self.defaults.api_version
        if _BARE_ID.fullmatch(text):
            text = self._path(text, posted)
        elif not text.startswith("/") and not _ABSOLUTE.match(text):
            raise RefusedError(
                Reason.INVALID_OPERATION,
                "neither an operation ID, an ARM path, an absolute URL nor a JSON object",
            )
        if "&amp;" in text:
            raise RefusedError(Reason.INVALID_OPERATION, "'&amp;' in the URL: it is '&' in a URL")
        return with_api_version(own_url(text, self.endpoint), version)

    def _path(self, operation_id: str, posted: dict[str, Any]) -> str:
        """Return the path of a bare operation ID."""
        parts = {
            "OPSWATCH_SUBSCRIPTION_ID": (
                _string(posted, "subscriptionId") or self.defaults.subscription_id
            ),
            "OPSWATCH_PROVIDER": _string(posted, "provider") or self.defaults.provider,
            "OPSWATCH_LOCATION": _string(posted, "location") or self.defaults.location,
        }
        missing = [setting for setting, part in parts.items() if part is None]
        if missing:
            raise RefusedError(
                Reason.MISSING_SETTING, f"not in the message, nor set: {', '.join(missing)}"
            )
        subscription, provider, location = (quote(part or "", safe="") for part in parts.values())
        collection = quote(_string(posted, "collection") or "operationsStatus", safe="")
        return (
            f"/subscriptions/{subscription}/providers/{provider}/locations/{location}"
            f"/{collection}/{quote(operation_id, safe='')}"
        )

    def _callback(self, posted: dict[str, Any]) -> str | None:
        url = posted.get("callbackUrl")
        if url is None:
            return self.defaults.callback_url
        if not isinstance(url, str):
            raise RefusedError(Reason.INVALID_CALLBACK, "'callbackUrl' must be a string")
        if refusal := self.rules.refusal(url):
            raise RefusedError(Reason.INVALID_CALLBACK, refusal)
        return url


def rejection(body: bytes, reason: Reason, detail: str, now: datetime) -> Rejection:
    """Return the record of a message that cannot be accepted."""
    return Rejection(
        reason=reason,
        detail=cut(detail, 1024),
        body=cut(body.decode("utf-8", "replace")),
        body_sha256=sha256(body).hexdigest(),
        received_at=now,
    )


def _text(body: bytes) -> str:
    """Return the posted text, decoded if it is base64, without white space and BOM around it."""
    if len(body) > MAX_MESSAGE:
        raise RefusedError(Reason.TOO_LARGE, f"{len(body)} bytes; a message has {MAX_MESSAGE}")
    text = _decoded(body)
    packed = packed_in_base64(text)
    if packed is not None:
        text = _decoded(packed)
    if not text:
        raise RefusedError(Reason.EMPTY, "an empty message")
    return text


def packed_in_base64(text: str) -> bytes | None:
    """Return the text that a posted text is the base64 of; None if it is no base64.

    It counts as base64 if it decodes to printable text. Line ends within it are skipped:
    command-line tools wrap their lines. Printable is not `str.isprintable`, which knows no emoji
    newer than Python.
    """
    packed = text.replace("\r", "").replace("\n", "")
    if len(packed) % 4 or not _BASE64.fullmatch(packed):
        return None
    inner = b64decode(packed)
    return inner if _is_utf16(inner) or _is_printable(inner) else None


def _decoded(body: bytes) -> str:
    if _is_utf16(body):
        raise RefusedError(Reason.NOT_UTF8, "a text in UTF-16; send it in UTF-8")
    try:
        return body.decode().strip().strip(_BOM).strip()
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.NOT_UTF8, str(error)) from error


def _is_utf16(body: bytes) -> bool:
    """Return whether a body is UTF-16: by its mark, or by the NULs of ASCII characters."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    first, second = any(body[:64:2]), any(body[1:64:2])
    return len(body) % 2 == 0 and first is not second


def _is_printable(body: bytes) -> bool:
    try:
        return all(c >= " " or c.isspace() for c in body.decode())
    except ValueError:
        return False


def _object(text: str) -> dict[str, Any]:
    try:
        posted = from_json(text)
    except ValueError as error:
        raise RefusedError(Reason.NOT_JSON, str(error)) from error
    if not isinstance(posted, dict):
        raise RefusedError(Reason.UNKNOWN_SHAPE, "a JSON array; one message posts one operation")
    if "eventType" in posted or "specversion" in posted:
        raise RefusedError(
            Reason.UNKNOWN_SHAPE, "an event; post the operation that it is about, as 'operation'"
        )
    return posted


def _operation_text(posted: dict[str, Any]) -> str:
    for name in ("operation", "id", "operationId"):
        if posted.get(name) is not None:
            return _string(posted, name) or ""
    raise RefusedError(
        Reason.UNKNOWN_SHAPE,
        "no 'operation' (or 'id'), and no 'operationId' with 'subscriptionId' and 'location'",
    )


def _string(posted: dict[str, Any], name: str) -> str | None:
    """Return a property that is a string, without the white space around it; None if absent."""
    value = posted.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(Reason.INVALID_OPERATION, f"{name!r} must be a string and not empty")
    return value.strip()


def _label(posted: dict[str, Any], name: str, limit: int) -> str | None:
    """Return a text that is stored as it is, without the white space around it."""
    text = posted.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise RefusedError(Reason.UNKNOWN_SHAPE, f"{name!r} must be a string")
    if utf16_length(text) > limit:
        raise RefusedError(Reason.TOO_LARGE, f"{name!r} has more than {limit} characters")
    return text.strip() or None


def _callback_on(posted: dict[str, Any]) -> tuple[str, ...] | None:
    ends = posted.get("callbackOn")
    if ends is None:
        return None
    if not isinstance(ends, list) or not ends or any(end not in CALLBACK_ENDS for end in ends):
        allowed = ", ".join(CALLBACK_ENDS)
        raise RefusedError(
            Reason.INVALID_CALLBACK, f"'callbackOn' must be a list of one or more of {allowed}"
        )
    return tuple(dict.fromkeys(ends))


def _again(posted: dict[str, Any]) -> bool:
    again = posted.get("again", False)
    if not isinstance(again, bool | None):
        raise RefusedError(Reason.UNKNOWN_SHAPE, "'again' must be true or false")
    return bool(again)


def _timeout(posted: dict[str, Any]) -> timedelta | None:
    text = posted.get("timeout")
    if text is None:
        return None
    timeout = parse_duration(text) if isinstance(text, str) else None
    if timeout is None or not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        raise RefusedError(
            Reason.INVALID_TIMEOUT,
            f"{text!r:.100} is not an ISO 8601 duration from 30 seconds to 7 days, such as PT6H",
        )
    return timeout


def _client_state(posted: dict[str, Any]) -> JsonText | None:
    if posted.get("clientState") is None:
        return None
    text = to_json(posted["clientState"])
    if len(text.encode()) > MAX_CLIENT_STATE:
        raise RefusedError(
            Reason.TOO_LARGE, f"'clientState' has more than {MAX_CLIENT_STATE} bytes of JSON"
        )
    return text
