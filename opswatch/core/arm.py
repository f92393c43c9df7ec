"""The ARM async protocol without I/O: one answer to a status read becomes an observation.

Clauses are those of Azure/azure-resource-manager-rpc, `v1.0/async-api-reference.md`, unless a
comment names another source.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal

from opswatch.core.model import (
    ArmError,
    Ended,
    HttpResponse,
    JsonText,
    Missed,
    NoAnswer,
    Observation,
    Running,
)
from opswatch.core.texts import from_lenient_json, one_line, to_json
from opswatch.core.timestamps import parse_instant, parse_retry_after
from opswatch.core.urls import RefusedError, own_url

# "Terminal states": exactly the first three. The others were seen: azure-core polls them for ever.
_FINAL: dict[str, Literal["Succeeded", "Failed", "Canceled"]] = {
    "succeeded": "Succeeded",
    "failed": "Failed",
    "canceled": "Canceled",
    "cancelled": "Canceled",
    "completed": "Succeeded",
}
# The status is not there or not ours to read; it may stay so.
_UNREADABLE = frozenset({401, 403, 404, 410})
_DONE = frozenset({200, 201, 204})
_WAIT_IN_TEXT = re.compile(r"after\s+'?(\d{1,5})'?\s+(second|minute)", re.IGNORECASE | re.ASCII)
_Body = Mapping[str, Any]


def read(answer: HttpResponse | NoAnswer, *, endpoint: str, now: datetime) -> Observation:
    """Return what an answer to a GET of a status URL shows; never raises, whatever came."""
    match answer:
        case NoAnswer(layer, error):
            return Missed(reason=one_line(f"{layer}: {error}"), answered=False)
        case HttpResponse(status_code) if status_code in _DONE | {HTTPStatus.ACCEPTED}:
            return _read_success(answer, endpoint, now)
        case _:
            return _read_failure(answer, now)


def _read_success(answer: HttpResponse, endpoint: str, now: datetime) -> Observation:
    try:
        body = from_lenient_json(answer.body) if answer.body.strip() else {}
    except ValueError as error:
        return Missed(reason=one_line(f"{answer.status_code} malformed body: {error}"))
    body = {} if body is None else body
    if isinstance(body, list) and answer.status_code in _DONE:
        return Ended(status="Succeeded", result=to_json(body), is_inferred=True)  # a resource
    if not isinstance(body, dict):
        return Missed(reason=f"{answer.status_code} malformed body: not an object")
    status = _get(body, "status")
    if status is not None and not isinstance(status, str):
        return Missed(reason=f"{answer.status_code} malformed body: a status that is no string")
    if status is not None:
        return _read_envelope(status.strip(), body, answer, endpoint, now)
    return _read_location(body, answer, endpoint, now)


def _read_envelope(
    status: str, body: _Body, answer: HttpResponse, endpoint: str, now: datetime
) -> Observation:
    """Read the body of an Azure-AsyncOperation URL: its `status` decides, not the HTTP code."""
    final = _FINAL.get(status.lower())
    if final is None:  # "any other value … the operation is still running"
        return _running(one_line(status, 128), body, answer, endpoint, now)
    return Ended(
        status=final,
        start_time=parse_instant(_get(body, "startTime")),
        end_time=parse_instant(_get(body, "endTime")),
        percent_complete=_percent(body),
        error=None if final == "Succeeded" else read_error(body),
        result=_json_or_none(_get(body, "properties")),
    )


def _read_location(body: _Body, answer: HttpResponse, endpoint: str, now: datetime) -> Observation:
    """Read the answer of a Location URL: 202 goes on, 200, 201 and 204 are done.

    The body is then the resource or empty; a resource's `provisioningState` may say otherwise.
    """
    if answer.status_code == HTTPStatus.ACCEPTED:
        return _running("InProgress", body, answer, endpoint, now)
    properties = _get(body, "properties")
    state = _get(properties, "provisioningState") if isinstance(properties, dict) else None
    if not isinstance(state, str) or not state.strip():
        if body or answer.status_code == HTTPStatus.NO_CONTENT:
            return Ended(status="Succeeded", result=to_json(body) if body else None)
        return Ended(status="Succeeded", is_inferred=True)
    final = _FINAL.get(state.strip().lower())
    if final is None:
        return _running(one_line(state, 128), body, answer, endpoint, now)
    error = None if final == "Succeeded" else read_error(body)
    return Ended(status=final, error=error, result=to_json(body))


def _running(
    status: str, body: _Body, answer: HttpResponse, endpoint: str, now: datetime
) -> Running:
    return Running(
        status=status,
        start_time=parse_instant(_get(body, "startTime")),
        percent_complete=_percent(body),
        retry_after=parse_retry_after(answer.headers, now),
        next_url=_next_url(answer, endpoint),
    )


def _next_url(answer: HttpResponse, endpoint: str) -> str | None:
    """Return where the answer says to poll from now on, if that is ours to ask.

    `Azure-AsyncOperation` wins. A `Location` beside a status is where the resource will be, unless
    the answer is a 202. A URL of another host is never followed: the token would go with it.
    """
    followed = answer.headers.get("azure-asyncoperation")
    if not followed and answer.status_code == HTTPStatus.ACCEPTED:
        followed = answer.headers.get("location")
    try:
        return own_url(followed.strip(), endpoint) if followed else None
    except RefusedError:
        return None


def _read_failure(answer: HttpResponse, now: datetime) -> Missed:
    """Read any other code: the status could not be read, which says nothing of the operation."""
    try:
        body = from_lenient_json(answer.body)
    except ValueError:
        body = None
    error = read_error(body) if isinstance(body, dict) else None
    code = (error and error.code) or _phrase(answer.status_code)
    message = f": {error.message}" if error and error.message else ""
    return Missed(
        reason=one_line(f"{answer.status_code} {code}{message}"),
        unreadable=answer.status_code in _UNREADABLE,
        retry_after=parse_retry_after(answer.headers, now) or _wait_in_text(answer, message),
    )


def _wait_in_text(answer: HttpResponse, message: str) -> timedelta | None:
    """Return the wait that only a throttled answer's text names (ResourceRequestsThrottled)."""
    if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    match = _WAIT_IN_TEXT.search(message)
    return timedelta(**{f"{match[2].lower()}s": int(match[1])}) if match else None


def _phrase(status_code: int) -> str:
    try:
        return HTTPStatus(status_code).phrase.replace(" ", "")
    except ValueError:
        return "Unknown"


def read_error(body: _Body) -> ArmError | None:
    """Return the error of a body (`{"error": {…}}`, or the error itself), or None without one.

    Seen: null, `{}`, a code with a space before it, and names in other cases.
    """
    error = _get(body, "error")
    if isinstance(error, str) and error.strip():
        error = {"message": error}
    if error is None and (_get(body, "code") or _get(body, "message")):
        error = {name: body[name] for name in body if name.lower() in _ERROR_NAMES}
    if not isinstance(error, dict) or not error:
        return None
    known = {_ERROR_NAMES.get(name.lower(), name): value for name, value in error.items()}
    code, message = (_text(known.get(name)) for name in ("code", "message"))
    if code is not None:
        known["code"] = code
    return ArmError(code=code, message=message, json=to_json(known))


_ERROR_NAMES = {
    name.lower(): name for name in ("code", "message", "target", "details", "additionalInfo")
}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).strip() or None


def _get(body: _Body, name: str) -> Any:
    """Return a property by its name, else by its name in another case."""
    if name in body:
        return body[name]
    return next((value for key, value in body.items() if key.lower() == name.lower()), None)


def _percent(body: _Body) -> float | None:
    value = _get(body, "percentComplete")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 100 and math.isfinite(value) else None  # noqa: PLR2004


def _json_or_none(value: object) -> JsonText | None:
    return None if value is None else to_json(value)
