"""The ARM async protocol without I/O: one answer to a poll becomes an observation.

Clauses are those of Azure/azure-resource-manager-rpc, `v1.0/async-api-reference.md`, unless a
comment names another source. `arm_errors` reads the errors in a body.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from opswatch.core.arm_bodies import (
    ENVELOPE,
    ENVELOPE_FOLDED,
    FinalWord,
    final_word,
    fold,
    is_error,
    is_running_state,
    is_running_word,
    is_spelled_alike,
    percent,
    provisioning_state,
    resource_id,
)
from opswatch.core.arm_errors import read_error
from opswatch.core.errors import RefusedError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import path_of
from opswatch.core.observations import Ended, Missed, Observation, Running, UrlStyle
from opswatch.core.redact import redact_text
from opswatch.core.texts import decode_text, from_lenient_json, one_line, to_json
from opswatch.core.times import parse_instant, parse_retry_after
from opswatch.core.urls import (
    collection_of,
    is_resource_url,
    is_signed,
    own_url,
    with_api_version,
)

_NO_CONTENT = 204
# The last segment but one of URLs whose bodies bear a status (Azure-AsyncOperation).
_STATUS_COLLECTIONS = frozenset(
    {
        "asyncoperation", "asyncoperations", "asyncoperationstatus", "azureasyncoperation",
        "azureasyncoperations", "operationsstatus", "operationsstatuses", "operationstatus",
        "operationstatuses",
    }
)  # fmt: skip
# The status does not exist or may not be read; that may not change.
_UNREADABLE = frozenset({401, 403, 404, 410})
# A proxy that transforms an answer makes 203 of 200: RFC 9110, 15.3.4.
_DONE = frozenset({200, 201, 203, 204})
# Codes that say nothing about the operation, also at a Location URL.
_NO_FINAL_CODES = _UNREADABLE | {408, 429}
# Error codes (in lower case) that say so, too: they are about the poll's own request.
_REQUEST_FAULTS = frozenset(
    {
        "invalidapiversion", "invalidapiversionparameter", "missingapiversionparameter",
        "noregisteredproviderfound", "unsupportedapiversion",
    }
)  # fmt: skip
_REFUSALS = frozenset({400, 403, 404})
_ORIGINAL_CALLER = re.compile(r"only the original caller", re.IGNORECASE)
_WAIT_IN_TEXT = re.compile(r"after\s+'?(\d{1,5})'?\s+(second|minute)", re.IGNORECASE | re.ASCII)
# Members of a status body, which is called an envelope here.
_EMPTY = "an empty "  # begins `inferred_from` of an answer that says nothing
_MAX_STATUS = 128  # UTF-16 units


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledUrl:
    """The URL of a poll, and what is known of it."""

    url: str
    endpoint: str
    style: UrlStyle | None = None
    api_version: str | None = None  # for a followed URL that has none

    @property
    def is_status_url(self) -> bool:
        """Whether it bears a status, by its answers or by its name."""
        if self.style is not None:
            return self.style is UrlStyle.STATUS
        return collection_of(self.url) in _STATUS_COLLECTIONS


@dataclass(frozen=True, slots=True)
class _Reading:
    """An answer with its body: a value, the members of an envelope in it, or only a text."""

    answer: HttpResponse
    polled: PolledUrl
    received_at: datetime
    body: Any
    fields: Mapping[str, Any]
    text: str
    problem: str  # why the body is not JSON

    @property
    def code(self) -> int:
        return self.answer.status_code

    @property
    def is_done(self) -> bool:
        """Whether the code is that of a final answer: at a Location URL any 2xx but 202."""
        is_success = HTTPStatus.OK <= self.code < HTTPStatus.MULTIPLE_CHOICES
        is_final = self.is_location and is_success and self.code != HTTPStatus.ACCEPTED
        return is_final or self.code in _DONE

    @property
    def is_location(self) -> bool:
        return self.polled.style is UrlStyle.LOCATION

    @property
    def is_html(self) -> bool:
        kind = self.answer.headers.get("content-type", "").lower()
        start = self.text[:1024].lower()
        is_marked = start.startswith("<!doctype html") or "<html" in start
        return bool(self.problem) and ("html" in kind or is_marked)

    def missed(self, text: str, **known: Any) -> Missed:
        reason = one_line(redact_text(f"{self.code} {text}"))
        return Missed(
            reason=reason,
            status_code=self.code,
            **({"retry_after": parse_retry_after(self.answer.headers, self.received_at)} | known),
        )


def read(answer: HttpResponse | NoAnswer, polled: PolledUrl, now: datetime) -> Observation:
    """Return what the answer to a poll shows; never raise, for any answer."""
    if isinstance(answer, NoAnswer):
        return Missed(reason=one_line(redact_text(f"{answer.layer}: {answer.error}")))
    text = decode_text(answer.body)
    body, problem = None, ""
    try:
        body = from_lenient_json(answer.body) if text else None
    except ValueError as error:
        problem = f"malformed body: {error}"
    fields = fold(body, ENVELOPE) if isinstance(body, dict) else {}
    reading = _Reading(answer, polled, now, body, fields, text, problem)
    # A resource may have a `status` of another kind: its `provisioningState` is the operation's.
    has_state = is_resource_url(polled.url) and provisioning_state(body)
    if isinstance(fields.get("status"), str) and fields["status"].strip() and not has_state:
        seen = _read_status(reading, fields["status"].strip())
        if seen is not None:
            return seen
    if answer.status_code == HTTPStatus.ACCEPTED:
        return reading.missed(problem) if reading.is_html else _running(reading, "InProgress")
    if not reading.is_done:
        return _read_failure(reading)
    return _read_without_status(reading)


def says_nothing(inferred_from: str | None) -> bool:
    """Return whether an end was inferred from an empty answer, which an outage can send, too."""
    return inferred_from is None or inferred_from.startswith(_EMPTY)


def may_have_refused_signature(seen: Observation, polled: PolledUrl) -> bool:
    """Return whether a signed URL was refused: it may be read without its signature.

    ARM has answered "Only the original caller … is allowed" for URLs that are signed.
    """
    return isinstance(seen, Missed) and seen.status_code in _REFUSALS and is_signed(polled.url)


def merge_unsigned(signed: Observation, unsigned: Observation, polled: PolledUrl) -> Observation:
    """Return what two polls show: of a signed URL, which was refused, and of it without signature.

    If the second one can be read it counts, and `polled`, its URL, is polled from now on.
    """
    match unsigned:
        case Missed():
            return signed
        case Ended():
            return unsigned
        case Running(next_url=None):
            return replace(unsigned, next_url=polled.url, next_style=unsigned.style)
        case Running():
            return unsigned


def _read_status(reading: _Reading, status: str) -> Observation | None:
    """Read a body with a status, which decides, not the HTTP code; None if it is no envelope.

    Under a code of failure only a terminal status counts, in a whole envelope, if it repeats. At a
    Location URL the body may be a resource or a result with a status of another kind.
    """
    final = final_word(status)
    if not reading.is_done and reading.code != HTTPStatus.ACCEPTED:
        if final is None or not _is_envelope(reading):
            return None
        return _ended(reading, final, f"{final} under {reading.code}")
    if final is not None:
        return _ended(reading, final)
    is_running = is_running_word("".join(status.split()))
    is_other = reading.is_location and not is_running and not _is_envelope(reading)
    if is_other and reading.code != HTTPStatus.ACCEPTED:
        return Ended(status="Succeeded", result=to_json(reading.body))
    # "any other value … the operation is still running"
    return _running(reading, status, has_status=True)


def _read_without_status(reading: _Reading) -> Observation:
    """Read a 2xx other than 202 without a status: the end at a Location URL, else a broken answer.

    An error is never a success, nor is what only looks like a status body.
    """
    body, is_location = reading.body, reading.is_location
    state = provisioning_state(body)
    final = final_word(state)
    if is_error(body) and final is None:
        error = read_error(body)
        if not is_location:
            return reading.missed(f"malformed body: an error without a status: {error}")
        code = (error and error.code) or "an error"
        inferred_from = f"{code} without a status under {reading.code}"
        return Ended(status="Failed", error=error, inferred_from=inferred_from)
    is_envelope = _is_envelope(reading) and not (is_location and "status" not in reading.fields)
    if (reading.polled.is_status_url or is_envelope) and reading.code != _NO_CONTENT:
        text = "no status"
        if not isinstance(body, dict | None):
            text = "malformed body: not an object"
        elif reading.fields.get("status") not in (None, ""):
            text = "malformed body: the status is not a string"
        return reading.missed(reading.problem or text)
    if final is not None:
        error = None if final == "Succeeded" else read_error(body, ENVELOPE_FOLDED)
        return Ended(status=final, error=error, result=to_json(body))
    is_running = is_running_state(state)
    if state and (is_running or not is_location):
        return _running(reading, state, has_status=None)
    return reading.missed(reading.problem) if reading.is_html else _read_resource(reading)


def _read_resource(reading: _Reading) -> Observation:
    """Read a body that may be the result: any at a Location URL.

    At a URL of unknown style a resource is believed at once, an empty answer if it repeats; any
    other value, too, if the URL's name says that it has results: it may have been posted late.
    """
    body = reading.text if reading.problem else reading.body
    result = None if body is None or body == {} else to_json(body)
    is_broken = bool(reading.problem) and reading.text.startswith(("{", "["))
    inferred_from = None
    if reading.is_location:
        if is_broken or _is_envelope(reading):
            inferred_from = reading.problem or "a body without a status"
        return Ended(status="Succeeded", result=result, inferred_from=inferred_from)
    if result is None:
        return Ended(status="Succeeded", inferred_from=f"{_EMPTY}{reading.code}")
    has_results = "operationresult" in collection_of(reading.polled.url)
    if isinstance(body, list) or (has_results and not isinstance(body, dict) and not is_broken):
        kind = "a list" if isinstance(body, list) else "not an object"
        return Ended(status="Succeeded", result=result, inferred_from=kind)
    if isinstance(body, dict) and not isinstance(reading.fields.get("status"), int | float):
        return Ended(status="Succeeded", result=result)
    return reading.missed(reading.problem or "malformed body: not an object with a status")


def _read_failure(reading: _Reading) -> Observation:
    """Read a code that is not a success: a miss, which says nothing about the operation.

    "202 Accepted and Location Headers", point 5: the final answer at a Location URL is what the
    request would have got synchronously. So a 4xx with an error is its failure, if it repeats,
    unless the error is about the poll itself.
    """
    code, headers = reading.code, reading.answer.headers
    body = {"errors": reading.body} if isinstance(reading.body, list) else reading.body
    error = read_error(body) if isinstance(body, dict) else None
    if (
        reading.is_location
        and error is not None
        and HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR
        and code not in _NO_FINAL_CODES
        and (error.code or "").lower() not in _REQUEST_FAULTS
        and not _ORIGINAL_CALLER.search(error.message or "")
    ):
        return Ended(status="Failed", error=error, inferred_from=f"{error.code} under {code}")
    try:
        phrase = HTTPStatus(code).phrase.replace(" ", "")
    except ValueError:
        phrase = "Unknown"
    message = f": {error.message}" if error and error.message else ""
    text = f"{(error and error.code) or phrase}{message}"
    if _ORIGINAL_CALLER.search(message):
        text = f"OnlyOriginalCaller: {text}"
    retry_after = parse_retry_after(headers, reading.received_at)
    if retry_after is None and code == HTTPStatus.TOO_MANY_REQUESTS:
        # ResourceRequestsThrottled names the wait in its text alone.
        named = _WAIT_IN_TEXT.search(message)
        retry_after = timedelta(**{f"{named[2].lower()}s": int(named[1])}) if named else None
    is_refused = code == HTTPStatus.BAD_REQUEST and is_signed(reading.polled.url)
    return reading.missed(
        text, unreadable=code in _UNREADABLE or is_refused, retry_after=retry_after
    )


def _running(reading: _Reading, status: str, *, has_status: bool | None = False) -> Running:
    """Return a running operation, and where the answer says to poll from now on.

    Beside a status only `Azure-AsyncOperation` is followed: a `Location` leads to the resource.
    A URL of another host is never followed: the token would go with it. `has_status` is None if
    the status is a resource's, which shows nothing of the URL's style.
    """
    headers, polled = reading.answer.headers, reading.polled
    followed, next_style = headers.get("azure-asyncoperation", "").strip(), UrlStyle.STATUS
    if not followed and has_status is False and reading.code == HTTPStatus.ACCEPTED:
        followed, next_style = headers.get("location", "").strip(), UrlStyle.LOCATION
    next_url = None
    if followed:
        try:
            next_url = with_api_version(own_url(followed, polled.endpoint), polled.api_version)
        except RefusedError:
            next_url = None
    style = polled.style
    if has_status:
        style = UrlStyle.STATUS
    elif has_status is False:
        style = style or UrlStyle.LOCATION
    return Running(
        status=one_line(status, _MAX_STATUS),
        start_time=parse_instant(reading.fields.get("startTime")),
        percent_complete=percent(reading.fields.get("percentComplete")),
        resource_id=resource_id(reading.fields),
        retry_after=parse_retry_after(headers, reading.received_at),
        style=style,
        next_url=None if next_url == polled.url else next_url,
        next_style=next_style if next_url not in (None, polled.url) else None,
    )


def _ended(reading: _Reading, status: FinalWord, inferred_from: str | None = None) -> Ended:
    """Return the end that an envelope shows.

    The result is `properties`, or what is beside the envelope if that is absent.
    """
    fields, body = reading.fields, reading.body
    result = fields.get("properties")
    if result is None and status == "Succeeded":
        beside = {name: body[name] for name in body if name.lower() not in ENVELOPE_FOLDED}
        result = {n: value for n, value in beside.items() if value or n.lower() != "error"} or None
    return Ended(
        status=status,
        start_time=parse_instant(fields.get("startTime")),
        end_time=parse_instant(fields.get("endTime")),
        percent_complete=percent(fields.get("percentComplete")),
        resource_id=resource_id(fields),
        error=None if status == "Succeeded" else read_error(body, ENVELOPE_FOLDED),
        result=None if result is None else to_json(result),
        inferred_from=inferred_from,
    )


def _is_envelope(reading: _Reading) -> bool:
    """Return whether a body has the marks of a status body; a resource has an `id` and a `name`.

    At a Location URL, whose final body may have times, only the polled path as `id` is a mark; at
    the URL of a resource that is none.
    """
    fields, url = reading.fields, reading.polled.url
    path = path_of(url)
    if not is_resource_url(url):
        if is_spelled_alike(fields.get("id"), path):
            return True
        is_failure = not reading.is_done and reading.code != HTTPStatus.ACCEPTED
        if is_failure and is_spelled_alike(fields.get("name"), path.rpartition("/")[2]):
            return True
    has_times = any(fields.get(name) is not None for name in ("startTime", "percentComplete"))
    return has_times and not reading.is_location
