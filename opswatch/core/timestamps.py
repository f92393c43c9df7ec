"""Instants and spans as texts: the many forms that providers send, and the one that we write."""

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(?:[Zz]|([+-]\d\d):?(\d\d))?",
    re.ASCII,
)
_MICROSOFT_INSTANT = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
_NUMBER = r"(\d{1,9}(?:[.,]\d{1,9})?)"
_DURATION = re.compile(
    rf"P(?=[\dT])(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR = 1601  # what Table Storage can hold; .NET's 0001-01-01 means "none"


def parse_instant(text: object) -> datetime | None:
    """Return the UTC instant that a provider means, or None where it means none.

    Read are ISO 8601 with `T` or a space, 0 to 9 fractional digits (cut to microseconds), `Z`, an
    offset or neither (UTC), and `/Date(milliseconds)/`.
    """
    if not isinstance(text, str):
        return None
    try:
        instant = _microsoft_instant(text.strip()) or _iso_instant(text.strip())
    except (ValueError, OverflowError):
        return None
    return instant if instant and instant.year >= _FIRST_YEAR else None


def _microsoft_instant(text: str) -> datetime | None:
    match = _MICROSOFT_INSTANT.fullmatch(text)
    return _EPOCH + timedelta(milliseconds=int(match[1])) if match else None


def _iso_instant(text: str) -> datetime | None:
    match = _INSTANT.fullmatch(text)
    if not match:
        return None
    date, time, fraction, hours, minutes = match.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    offset = f"{hours}:{minutes}" if hours else "+00:00"
    return datetime.fromisoformat(f"{date}T{time}.{micros}{offset}").astimezone(UTC)


def format_instant(instant: datetime) -> str:
    """Return `instant` (aware) in UTC as RFC 3339 with a `Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> timedelta | None:
    """Return an ISO 8601 duration in weeks, days, hours, minutes and seconds, or None.

    Years and months are refused: they have no fixed length.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or text.strip() == "P":
        return None
    weeks, days, hours, minutes, seconds = (
        float(number.replace(",", ".")) if number else 0.0 for number in match.groups()
    )
    try:
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None


def parse_retry_after(headers: dict[str, str], now: datetime) -> timedelta | None:
    """Return how long an answer asks to wait, or None where it asks nothing usable.

    Milliseconds (`retry-after-ms`, `x-ms-retry-after-ms`), seconds, or an HTTP date (RFC 9110,
    10.2.3), which counts from the answer's own `Date` so that our clock does not matter.
    Zero and the past count as absent, as azure-core has it.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        wait = _span(headers.get(name, ""), milliseconds=1)
        if wait:
            return wait
    text = headers.get("retry-after", "")
    return _span(text, seconds=1) or _until(text, headers.get("date", ""), now)


def _span(text: str, **unit: float) -> timedelta | None:
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*", text, re.ASCII)
    if not match:
        return None
    try:
        return timedelta(**unit) * float(match[1]) or None
    except OverflowError:
        return timedelta.max


def _until(text: str, date: str, now: datetime) -> timedelta | None:
    then = _http_date(text)
    wait = then - (_http_date(date) or now) if then else None
    return wait if wait and wait > timedelta(0) else None


def _http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None


def whole_seconds(delay: timedelta) -> int:
    """Return `delay` in seconds, rounded up: a queue's resolution is one second."""
    return max(0, math.ceil(delay.total_seconds()))
