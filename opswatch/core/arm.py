"""The ARM async protocol without I/O: one answer to a poll becomes an observation.

Clauses are those of Azure/azure-resource-manager-rpc, `v1.0/async-api-reference.md`, unless a
comment names another source.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal

from opswatch.core.errors import RefusedError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.redact import redact_text
from opswatch.core.texts import JsonText, from_lenient_json, one_line, to_json
from opswatch.core.times import parse_instant, parse_retry_after
from opswatch.core.urls import own_url

# "Terminal states": exactly the first three. Some providers send the others, which azure-core
# polls without end.
_FINAL: dict[str, Literal["Succeeded", "Failed", "Canceled"]] = {
    "succeeded": "Succeeded",
    "failed": "Failed",
    "canceled": "Canceled",
    "cancelled": "Canceled",
    "completed": "Succeeded",
}
# The status does not exist or may not be read; that may not change.
_UNREADABLE = frozenset({401, 403, 404, 410})
_DONE = frozenset({200, 201, 204})
_WAIT_IN_TEXT = re.compile(r"after\s+'?(\d{1,5})'?\s+(second|minute)", re.IGNORECASE | re.ASCII)
_ERROR_NAMES = {
    name.lower(): name for name in ("code", "message", "target", "details", "additionalInfo")
}
_NAMES = ("status", "startTime", "endTime", "percentComplete", "properties", "error")
_MAX_STATUS = 128  # UTF-16 units
_Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmError:
    """An ARM error."""

    code: str | None = None
    message: str | None = None
    json: JsonText  # all of it: code, message, target, details, additionalInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The operation is still running."""

    status: str  # ARM's word
    start_time: datetime | None = None
    percent_complete: float | None = None
    retry_after: timedelta | None = None
    next_url: str | None = None  # to poll from now on


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The operation has ended."""

    status: Literal["Succeeded", "Failed", "Canceled"]
    start_time: datetime | None = None
    end_time: datetime | None = None
    percent_complete: float | None = None
    error: ArmError | None = None
    result: JsonText | None = None
    is_inferred: bool = False  # the answer is empty, or not a status


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """The poll could not read the status, which says nothing about the operation."""

    reason: str  # "429 TooManyRequests: …"
    unreadable: bool = False  # 401, 403, 404 or 410
    answered: bool = True  # False: there was no HTTP response
    retry_after: timedelta | None = None


Observation = Running | Ended | Missed


def read(answer: HttpResponse | NoAnswer, *, endpoint: str, now: datetime) -> Observation:
    """Return what the answer to a poll shows; never raise, for any answer."""
    if isinstance(answer, NoAnswer):
        text = redact_text(answer.error)  # before it is cut
        return Missed(reason=one_line(f"{answer.layer}: {text}"), answered=False)
    code = answer.status_code
    if code not in _DONE and code != HTTPStatus.ACCEPTED:
        return _read_failure(answer, now)
    try:
        body = from_lenient_json(answer.body) if answer.body.strip() else {}
    except ValueError as error:
        return Missed(reason=one_line(f"{code} malformed body: {error}"))
    body = {} if body is None else body
    if isinstance(body, list) and code in _DONE:
        return Ended(status="Succeeded", result=to_json(body), is_inferred=True)  # a resource
    if not isinstance(body, dict):
        return Missed(reason=f"{code} malformed body: not an object")
    fields = _fold(body, _NAMES)
    status = fields.get("status")
    if status is None:
        return _read_location(body, fields, answer, endpoint, now)
    if not isinstance(status, str):
        return Missed(reason=f"{code} malformed body: the status is not a string")
    # The body of an Azure-AsyncOperation URL: its `status` decides, not the HTTP code.
    final = _FINAL.get(status.strip().lower())
    if final is None:  # "any other value … the operation is still running"
        return _running(status.strip(), fields, answer, endpoint, now)
    properties = fields.get("properties")
    return Ended(
        status=final,
        start_time=parse_instant(fields.get("startTime")),
        end_time=parse_instant(fields.get("endTime")),
        percent_complete=_percent(fields.get("percentComplete")),
        error=None if final == "Succeeded" else read_error(body),
        result=None if properties is None else to_json(properties),
    )


def _read_location(
    body: _Body, fields: _Body, answer: HttpResponse, endpoint: str, now: datetime
) -> Observation:
    """Read the answer of a Location URL: 202 means running; 200, 201 and 204 mean done.

    The body is then the resource or empty; a resource's `provisioningState` may contradict.
    """
    if answer.status_code == HTTPStatus.ACCEPTED:
        return _running("InProgress", fields, answer, endpoint, now)
    properties = fields.get("properties")
    state = None
    if isinstance(properties, dict):
        state = _fold(properties, ("provisioningState",)).get("provisioningState")
    if not isinstance(state, str) or not state.strip():
        if body or answer.status_code == HTTPStatus.NO_CONTENT:
            return Ended(status="Succeeded", result=to_json(body) if body else None)
        return Ended(status="Succeeded", is_inferred=True)
    final = _FINAL.get(state.strip().lower())
    if final is None:
        return _running(state.strip(), fields, answer, endpoint, now)
    error = None if final == "Succeeded" else read_error(body)
    return Ended(status=final, error=error, result=to_json(body))


def _running(
    status: str, fields: _Body, answer: HttpResponse, endpoint: str, now: datetime
) -> Running:
    """Return a running operation, and where the answer says to poll from now on.

    `Azure-AsyncOperation` wins. A `Location` beside a status is where the resource will be, unless
    the answer is a 202. A URL of another host is never followed: the token would go with it.
    """
    followed = answer.headers.get("azure-asyncoperation")
    if not followed and answer.status_code == HTTPStatus.ACCEPTED:
        followed = answer.headers.get("location")
    try:
        next_url = own_url(followed.strip(), endpoint) if followed else None
    except RefusedError:
        next_url = None
    return Running(
        status=one_line(status, _MAX_STATUS),
        start_time=parse_instant(fields.get("startTime")),
        percent_complete=_percent(fields.get("percentComplete")),
        retry_after=parse_retry_after(answer.headers, now),
        next_url=next_url,
    )


def _read_failure(answer: HttpResponse, now: datetime) -> Missed:
    """Read any other code: the poll missed, which says nothing about the operation."""
    try:
        body = from_lenient_json(answer.body)
    except ValueError:
        body = None
    error = read_error(body) if isinstance(body, dict) else None
    try:
        phrase = HTTPStatus(answer.status_code).phrase.replace(" ", "")
    except ValueError:
        phrase = "Unknown"
    message = f": {redact_text(error.message)}" if error and error.message else ""
    retry_after = parse_retry_after(answer.headers, now)
    if retry_after is None and answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        # ResourceRequestsThrottled names the wait in its text alone.
        named = _WAIT_IN_TEXT.search(message)
        retry_after = timedelta(**{f"{named[2].lower()}s": int(named[1])}) if named else None
    return Missed(
        reason=one_line(f"{answer.status_code} {(error and error.code) or phrase}{message}"),
        unreadable=answer.status_code in _UNREADABLE,
        retry_after=retry_after,
    )


def read_error(body: _Body) -> ArmError | None:
    """Return the error of a body (`{"error": {…}}`, or the error itself), or None without one.

    Some providers send null, `{}`, a code with a space before it, or names in another case.
    """
    error = _fold(body, _NAMES).get("error")
    if isinstance(error, str) and error.strip():
        error = {"message": error}
    if error is None:
        own = {name: value for name, value in body.items() if name.lower() in _ERROR_NAMES}
        folded = _fold(own, ("code", "message"))
        error = own if folded.get("code") or folded.get("message") else None
    if not isinstance(error, dict) or not error:
        return None
    known = {_ERROR_NAMES.get(name.lower(), name): value for name, value in error.items()}
    code, message = (
        None if isinstance(text := known.get(name), dict | list | None) else str(text).strip()
        for name in ("code", "message")
    )
    if code:
        known["code"] = code
    return ArmError(code=code or None, message=message or None, json=to_json(known))


def _fold(body: _Body, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the properties `names` of a body; a name in another case counts if there is none."""
    if all(name in body for name in names):
        return {name: body[name] for name in names}
    folded: dict[str, Any] = {}
    for name, value in body.items():
        folded.setdefault(name.lower(), value)
    return {
        name: body[name] if name in body else folded[name.lower()]
        for name in names
        if name in body or name.lower() in folded
    }


def _percent(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 100 and math.isfinite(value) else None  # noqa: PLR2004
