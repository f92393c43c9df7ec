"""Instants and spans as text: the forms that providers send, and the form that we write."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import isodate

_MICROSOFT_INSTANT = re.compile(r"/DATE\((-?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
# .NET's texts in American and invariant culture, also of a DateTimeOffset:
# 9/6/2022 6:35:25 AM, 09/06/2022 06:35:25 +00:00
_DOTNET_INSTANT = re.compile(
    r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"
    r" (?P<hour>\d{1,2}):(?P<rest>\d\d(:\d\d(\.\d+)?)?)( ?(?P<half>[AP])M)?(?P<zone> ?[A-Z+-].*)?",
    re.ASCII,
)
# White space before a zone, and the names of UTC.
_ZONE = re.compile(r"\s*(?:(UTC|GMT|Z)|([+-]\d\d(?::?\d\d)?))\Z", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-?\d\d", re.ASCII)
_NUMBER = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR = 1601  # the oldest that Table Storage can hold; .NET's 0001-01-01 means "none"


def parse_instant(text: object) -> datetime | None:
    """Return the UTC instant that a provider means, or None if it means none.

    Accepts ISO 8601 with `T` or a space, a fraction of any length after a point or a comma (cut to
    microseconds), and `Z`, `UTC`, `GMT`, an offset or none of them (UTC); `/Date(milliseconds)/`;
    RFC 1123; and .NET's `9/6/2022 6:35:25 AM` and `09/06/2022 06:35:25`, also with a zone.
    """
    if not isinstance(text, str):
        return None
    text = " ".join(text.upper().split())
    try:
        if milliseconds := _MICROSOFT_INSTANT.fullmatch(text):
            instant = _EPOCH + timedelta(milliseconds=int(milliseconds[1]))
        elif _DOTNET_INSTANT.fullmatch(text):
            text = _DOTNET_INSTANT.sub(_dotnet_to_iso, text)
            instant = datetime.fromisoformat(_ZONE.sub(lambda zone: zone[2] or "Z", text))
        elif _ISO_DATE.match(text):
            instant = datetime.fromisoformat(_ZONE.sub(lambda zone: zone[2] or "Z", text))
        else:
            instant = parsedate_to_datetime(text)
        instant = instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None
    return instant if instant.year >= _FIRST_YEAR else None


def _dotnet_to_iso(match: re.Match[str]) -> str:
    """Return .NET's text in the order of ISO 8601; raise `ValueError` for a 13 o'clock PM."""
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004 - hours of a clock
            raise ValueError("not an hour of a 12-hour clock")
        hour = hour % 12 + (12 if match["half"] == "P" else 0)
    date = f"{match['year']}-{match['month']:0>2}-{match['day']:0>2}"
    return f"{date}T{hour:02}:{match['rest']}{match['zone'] or ''}"


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
        if name not in headers:
            continue
        values = headers[name].split(",")
        waits = [wait for value in values if (wait := _wait(value, unit)) is not None]
        if name == "retry-after" and len(waits) < len(values):
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
    if not text:
        return None
    try:
        instant = parsedate_to_datetime(text)
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None
