"""Instants and waits as providers write them: every form that has been seen, right or odd."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import assert_never

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stamp(StrEnum):
    """How a provider writes an instant; the names tell fractional digits and zone."""

    SEVEN_Z = "2024-10-22T04:55:18.1234567Z"
    SIX_OFFSET = "2024-10-22T04:55:18.123456+00:00"
    THREE_Z = "2024-10-22T04:55:18.123Z"
    TWO_Z = "2024-10-22T04:55:18.12Z"
    NONE_Z = "2024-10-22T04:55:18Z"
    BLANK_Z = "2024-10-22 04:55:18Z"
    BLANK_OFFSET = "2024-10-22 04:55:18 +0000"
    MICROSOFT = "/Date(1729572918123)/"


def write_stamp(form: Stamp, instant: datetime) -> str:
    """Write `instant` (aware) in `form`."""
    moment = instant.astimezone(UTC)
    whole = f"{moment:%Y-%m-%dT%H:%M:%S}"
    micros = f"{moment.microsecond:06d}"
    match form:
        case Stamp.SEVEN_Z:
            return f"{whole}.{micros}7Z"
        case Stamp.SIX_OFFSET:
            return f"{whole}.{micros}+00:00"
        case Stamp.THREE_Z:
            return f"{whole}.{micros[:3]}Z"
        case Stamp.TWO_Z:
            return f"{whole}.{micros[:2]}Z"
        case Stamp.NONE_Z:
            return f"{whole}Z"
        case Stamp.BLANK_Z:
            return f"{whole.replace('T', ' ')}Z"
        case Stamp.BLANK_OFFSET:
            return f"{whole.replace('T', ' ')} +0000"
        case Stamp.MICROSOFT:
            return f"/Date({(moment - _EPOCH) // timedelta(milliseconds=1)})/"
        case _:
            assert_never(form)


class WaitForm(StrEnum):
    """How an answer asks its reader to wait."""

    SECONDS = "seconds"
    DATE = "date"
    MILLISECONDS = "retry-after-ms"
    X_MILLISECONDS = "x-ms-retry-after-ms"


class RetryAfter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A wait that an answer asks for; zero occurs."""

    wait: timedelta
    form: WaitForm = WaitForm.SECONDS

    def header(self, now: datetime) -> tuple[str, str]:
        """Return the header's name and value."""
        match self.form:
            case WaitForm.SECONDS:
                return "Retry-After", str(int(self.wait.total_seconds()))
            case WaitForm.DATE:
                at = (now + self.wait).astimezone(UTC).replace(microsecond=0)
                return "Retry-After", format_datetime(at, usegmt=True)
            case WaitForm.MILLISECONDS | WaitForm.X_MILLISECONDS:
                return self.form.value, str(self.wait // timedelta(milliseconds=1))
            case _:
                assert_never(self.form)
