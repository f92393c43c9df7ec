"""What a poll showed: the operation runs, it has ended, or its status could not be read."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opswatch.core.arm_bodies import FinalWord
from opswatch.core.arm_errors import ArmError
from opswatch.core.texts import JsonText


class UrlStyle(StrEnum):
    """What a polled URL has shown itself to be."""

    STATUS = "status"  # it has borne a status, and ends with one
    LOCATION = "location"  # it has answered 202 without a status, and ends with any other 2xx


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The operation is still running."""

    status: str  # ARM's word
    start_time: datetime | None = None
    percent_complete: float | None = None
    resource_id: str | None = None
    retry_after: timedelta | None = None
    style: UrlStyle | None = None  # what the polled URL has shown itself to be, if it has
    next_url: str | None = None  # to poll from now on
    next_style: UrlStyle | None = None  # of `next_url`


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The operation has ended."""

    status: FinalWord
    start_time: datetime | None = None
    end_time: datetime | None = None
    percent_complete: float | None = None
    resource_id: str | None = None
    error: ArmError | None = None
    result: JsonText | None = None
    inferred_from: str | None = None  # why it is only believed if the next poll shows it, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """The poll could not read the status, which says nothing about the operation."""

    reason: str  # "429 TooManyRequests: …"
    status_code: int | None = None  # None: there was no HTTP response
    unreadable: bool = False  # the status does not exist or may not be read
    retry_after: timedelta | None = None

    @property
    def answered(self) -> bool:
        """Whether there was an HTTP response."""
        return self.status_code is not None


Observation = Running | Ended | Missed
