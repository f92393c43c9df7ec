"""Timestamps and Retry-After headers in the formats that providers send."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import assert_never

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimestampFormat(StrEnum):
    """How a provider writes a timestamp; a name gives the fractional digits and the zone."""

    SEVEN_Z = "2024-10-22T04:55:18.1234567Z"
    SIX_OFFSET = "2024-10-22T04:55:18.123456+00:00"
    THREE_Z = "2024-10-22T04:55:18.123Z"
    TWO_Z = "2024-10-22T04:55:18.12Z"
    NONE_Z = "2024-10-22T04:55:18Z"
    BLANK_Z = "2024-10-22 04:55:18Z"
    BLANK_OFFSET = "2024-10-22 04:55:18 +0000"
    MICROSOFT = "/Date(1729572918123)/"

    def write(self, instant: datetime) -> str:
        """Return `instant` (aware) in this format, in UTC."""
        utc = instant.astimezone(UTC)
        seconds = f"{utc:%Y-%m-%dT%H:%M:%S}"
        micros = f"{utc.microsecond:06d}"
        match self:
            case TimestampFormat.SEVEN_Z:
                return f"{seconds}.{micros}7Z"
            case TimestampFormat.SIX_OFFSET:
                return f"{seconds}.{micros}+00:00"
            case TimestampFormat.THREE_Z:
                return f"{seconds}.{micros[:3]}Z"
            case TimestampFormat.TWO_Z:
                return f"{seconds}.{micros[:2]}Z"
            case TimestampFormat.NONE_Z:
                return f"{seconds}Z"
            case TimestampFormat.BLANK_Z:
                return f"{seconds.replace('T', ' ')}Z"
            case TimestampFormat.BLANK_OFFSET:
                return f"{seconds.replace('T', ' ')} +0000"
            case TimestampFormat.MICROSOFT:
                return f"/Date({(utc - _EPOCH) // timedelta(milliseconds=1)})/"
            case _:
                assert_never(self)


class WaitForm(StrEnum):
    """How a response asks the client to wait before the next poll."""

    SECONDS = "seconds"
    DATE = "date"
    MILLISECONDS = "retry-after-ms"
    X_MILLISECONDS = "x-ms-retry-after-ms"


class RetryAfter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The wait that a response asks for; ARM sends zero too."""

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
