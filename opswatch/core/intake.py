"""What users post: every accepted form of a message, or the reason why it is rejected."""

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from opswatch.core.addresses import CallbackRules
from opswatch.core.model import JsonText, Reason, Registration, Rejection
from opswatch.core.texts import cut, from_json, to_json
from opswatch.core.timestamps import parse_duration
from opswatch.core.urls import RefusedError, own_url, with_api_version
from opswatch.core.wire import body_digest, operation_at

MAX_MESSAGE = 64 * 1024  # bytes: what a queue holds
MAX_CLIENT_STATE = 4 * 1024  # bytes, as compact JSON
MAX_KIND = 256
MIN_TIMEOUT, MAX_TIMEOUT = timedelta(seconds=30), timedelta(days=7)
_BOM = "\ufeff"
_BARE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the settings say of a message's parts that it leaves out."""

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
        """Return what a posted message asks for, or why it cannot be accepted; never raises."""
        try:
            return self._registration(_text(body))
        except RefusedError as refused:
            return rejection(body, refused.reason, refused.detail, now)

    def _registration(self, text: str) -> Registration:
        if text[0] not in "{[":
            return Registration(
                operation=operation_at(self._url(text, {})),
                callback_url=self.defaults.callback_url,
            )
        posted = _object(text)
        return Registration(
            operation=operation_at(self._url(_operation_text(posted), posted)),
            kind=_kind(posted),
            callback_url=self._callback(posted),
            timeout=_timeout(posted),
            client_state=_client_state(posted),
        )

    def _url(self, text: str, posted: dict[str, Any]) -> str:
        """Return the status URL that one of the three forms means, ready to be sent."""
        version = _word(posted, "apiVersion") or self.defaults.api_version
        if text.startswith("/") or _ABSOLUTE.match(text):
            url = own_url(text, self.endpoint)
        elif _BARE_ID.fullmatch(text):
            url = own_url(self._path(text, posted), self.endpoint)
        else:
            raise RefusedError(
                Reason.INVALID_OPERATION,
                "neither an operation ID, an ARM path, an absolute URL nor a JSON object",
            )
        return with_api_version(url, version)

    def _path(self, operation_id: str, posted: dict[str, Any]) -> str:
        parts = {
            "OPSWATCH_SUBSCRIPTION_ID": (
                _word(posted, "subscriptionId") or self.defaults.subscription_id
            ),
            "OPSWATCH_PROVIDER": _word(posted, "provider") or self.defaults.provider,
            "OPSWATCH_LOCATION": _word(posted, "location") or self.defaults.location,
        }
        missing = [setting for setting, part in parts.items() if part is None]
        if missing:
            raise RefusedError(
                Reason.MISSING_SETTING, f"not in the message, nor set: {', '.join(missing)}"
            )
        subscription, provider, location = (quote(part or "", safe="") for part in parts.values())
        collection = quote(_word(posted, "collection") or "operationsStatus", safe="")
        return (
            f"/subscriptions/{subscription}/providers/{provider}/locations/{location}"
            f"/{collection}/{quote(operation_id, safe='')}"
        )

    def _callback(self, posted: dict[str, Any]) -> str | None:
        url = posted.get("callbackUrl")
        if url is None:
            return self.defaults.callback_url
        refusal = self.rules.refusal(url) if isinstance(url, str) else "callbackUrl is no string"
        if refusal:
            raise RefusedError(Reason.INVALID_CALLBACK, refusal)
        return str(url)


def rejection(body: bytes, reason: Reason, detail: str, now: datetime) -> Rejection:
    """Return the record of a message that cannot be accepted."""
    return Rejection(
        reason=reason,
        detail=cut(detail, 1024),
        body=cut(body.decode("utf-8", "replace")),
        body_sha256=body_digest(body),
        received_at=now,
    )


def _text(body: bytes) -> str:
    """Return the posted text: out of its base64, if it is that, without white space and BOM."""
    if len(body) > MAX_MESSAGE:
        raise RefusedError(Reason.TOO_LARGE, f"{len(body)} bytes; a message has {MAX_MESSAGE}")
    try:
        text = _stripped(body.decode())
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.NOT_UTF8, str(error)) from error
    text = _stripped(_unwrapped(text))
    if not text:
        raise RefusedError(Reason.EMPTY, "an empty message")
    return text


def _stripped(text: str) -> str:
    return text.strip().strip(_BOM).strip()


def _unwrapped(text: str) -> str:
    """Return what base64 holds, where `text` is base64 of printable text; else `text`.

    Line ends within it are passed over: command-line tools wrap their lines.
    """
    packed = text.replace("\r", "").replace("\n", "")
    if len(packed) % 4 or not _BASE64.fullmatch(packed):
        return text
    try:
        inner = b64decode(packed, validate=True).decode()
    except ValueError:
        return text
    return inner if _is_printable(inner) else text


def _is_printable(text: str) -> bool:
    """Tell whether `text` could be a post: `str.isprintable` knows no emoji newer than Python."""
    return all(c >= " " or c.isspace() for c in text)


def _object(text: str) -> dict[str, Any]:
    try:
        posted = from_json(text)
    except ValueError as error:
        raise RefusedError(Reason.NOT_JSON, str(error)) from error
    if not isinstance(posted, dict):
        raise RefusedError(Reason.UNKNOWN_SHAPE, "a JSON array; one message posts one operation")
    return posted


def _operation_text(posted: dict[str, Any]) -> str:
    for name in ("operation", "id", "operationId"):
        if posted.get(name) is not None:
            return _word(posted, name) or ""
    raise RefusedError(
        Reason.UNKNOWN_SHAPE,
        "no 'operation' (or 'id'), and no 'operationId' with 'subscriptionId' and 'location'",
    )


def _word(posted: dict[str, Any], name: str) -> str | None:
    """Return a property that is a string, without the white space around it; None if absent."""
    value = posted.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(Reason.INVALID_OPERATION, f"{name!r} is not a string with a content")
    return value.strip()


def _kind(posted: dict[str, Any]) -> str | None:
    kind = posted.get("kind")
    if kind is None:
        return None
    if not isinstance(kind, str):
        raise RefusedError(Reason.UNKNOWN_SHAPE, "'kind' is no string")
    if len(kind) > MAX_KIND:
        raise RefusedError(Reason.TOO_LARGE, f"'kind' of more than {MAX_KIND} characters")
    return kind.strip() or None


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
            Reason.TOO_LARGE, f"'clientState' of more than {MAX_CLIENT_STATE} bytes of JSON"
        )
    return text
