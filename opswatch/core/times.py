"""Instants and spans as text: the forms that providers send, and the form that we write."""

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import isodate

_MICROSOFT_INSTANT = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
_SPACE_BEFORE_ZONE = re.compile(r"\s+(?=(?:Z|[+-]\d\d:?\d\d)\Z)", re.ASCII)
_NUMBER = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR = 1601  # the oldest that Table Storage can hold; .NET's 0001-01-01 means "none"


def parse_instant(text: object) -> datetime | None:
    """Return the UTC instant that a provider means, or None if it means none.

    Accepts ISO 8601 with `T` or a space, any number of fractional digits (cut to microseconds), and
    `Z`, an offset or neither (UTC); and `/Date(milliseconds)/`.
    """
    if not isinstance(text, str):
        return None
    text = text.strip()
    try:
        if milliseconds := _MICROSOFT_INSTANT.fullmatch(text):
            instant = _EPOCH + timedelta(milliseconds=int(milliseconds[1]))
        else:
            instant = datetime.fromisoformat(_SPACE_BEFORE_ZONE.sub("", text.upper()))
            instant = instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return instant if instant.year >= _FIRST_YEAR else None


def format_instant(instant: datetime) -> str:
    """Return `instant` (aware) in UTC as RFC 3339 with a `Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> timedelta | None:
    """Return an ISO 8601 duration in weeks, days, hours, minutes and seconds, or None.

    Years and months are refused: they have no fixed length.
    """
    text = text.strip()
    if text.endswith(("P", "T")) or not text.startswith("P"):  # isodate reads PT, P1DT and -P1D
        return None
    try:
        duration = isodate.parse_duration(text)
    except (ValueError, OverflowError):
        return None
    is_span = isinstance(duration, timedelta) and duration >= timedelta(0)
    return duration if is_span else None


def parse_retry_after(headers: dict[str, str], now: datetime) -> timedelta | None:
    """Return how long an answer asks to wait, or None if it asks nothing usable.

    Milliseconds (`retry-after-ms`, `x-ms-retry-after-ms`), seconds, or an HTTP date (RFC 9110,
    10.2.3), which counts from the answer's own `Date` so that our clock does not matter. A proxy
    may add its own: the longest wait of a list counts. Zero and the past count as absent, as
    azure-core has it.
    """
    milliseconds = timedelta(milliseconds=1)
    for name, unit in (
        ("retry-after-ms", milliseconds),
        ("x-ms-retry-after-ms", milliseconds),
        ("retry-after", timedelta(seconds=1)),
    ):
        values = headers.get(name, "").split(",")
        waits = [wait for value in values if (wait := _wait(value, unit))]
        if name == "retry-after":
            start = _http_date(headers.get("date", "")) or now
            # A date's comma follows the day of the week, without which the rest is a date as well.
            waits += [date - start for value in values if (date := _http_date(value))]
        if (longest := max(waits, default=timedelta(0))) > timedelta(0):
            return longest
    return None


def _wait(text: str, unit: timedelta) -> timedelta | None:
    number = _NUMBER.fullmatch(text)
    try:
        return unit * float(number[1]) if number else None
    except OverflowError:
        return timedelta.max


def _http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None


def whole_seconds(delay: timedelta) -> int:
    """Return `delay` in seconds, rounded up: a queue's resolution is one second."""
    return max(0, math.ceil(delay.total_seconds()))
