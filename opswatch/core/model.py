"""The nouns: operations, watches and results, deliveries and attempts, and what is said of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

JsonText = str  # a JSON value as text: immutable, and written once

DEFAULT_CALLBACK_SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)


@dataclass(frozen=True, slots=True)
class Key:
    """Where an operation or a delivery lives: the same keys in each of its tables."""

    partition: str
    row: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """ARM's thing, named: parts as they stand in the key, `url` as it is polled."""

    key: Key
    url: str
    provider: str | None
    location: str | None
    collection: str | None
    operation_id: str
    api_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of the settings that decisions depend on."""

    timeout: timedelta = timedelta(hours=24)
    poll_min: timedelta = timedelta(seconds=1)
    poll_max: timedelta = timedelta(minutes=5)
    poll_cost: float = 2.0
    miss_grace: timedelta = timedelta(minutes=15)
    retention: timedelta = timedelta(days=30)
    callback_schedule: tuple[timedelta, ...] = DEFAULT_CALLBACK_SCHEDULE


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A message to ourselves: look at the row `key`, if it still stands at `seq`."""

    key: Key
    seq: int
    traceparent: str | None = None


# --- what users post


class Reason(StrEnum):
    """Why a message was rejected: stable identifiers."""

    EMPTY = "Empty"
    NOT_UTF8 = "NotUtf8"
    NOT_JSON = "NotJson"
    UNKNOWN_SHAPE = "UnknownShape"
    MISSING_SETTING = "MissingSetting"
    INVALID_OPERATION = "InvalidOperation"
    FOREIGN_HOST = "ForeignHost"
    INVALID_CALLBACK = "InvalidCallback"
    INVALID_TIMEOUT = "InvalidTimeout"
    TOO_LARGE = "TooLarge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A posted message, understood."""

    operation: Operation
    kind: str | None = None
    callback_url: str | None = None
    timeout: timedelta | None = None
    client_state: JsonText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A posted message that cannot be accepted, and why."""

    reason: Reason
    detail: str
    body: str
    body_sha256: str
    received_at: datetime
    count: int = 1


# --- what ARM answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmError:
    """An ARM error; `json` is all of it: code, message, target, details, additionalInfo."""

    code: str | None
    message: str | None
    json: JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The operation goes on."""

    status: str  # ARM's own word
    start_time: datetime | None = None
    percent_complete: float | None = None
    retry_after: timedelta | None = None
    next_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The operation has ended, in ARM's words."""

    status: Literal["Succeeded", "Failed", "Canceled"]
    start_time: datetime | None = None
    end_time: datetime | None = None
    percent_complete: float | None = None
    error: ArmError | None = None
    result: JsonText | None = None
    is_inferred: bool = False  # from an answer that says nothing, or not what it should


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """The status could not be read; nothing is said of the operation."""

    reason: str  # "429 TooManyRequests: …"
    unreadable: bool = False  # 401, 403, 404 or 410: it may stay so
    answered: bool = True  # False: nothing came back
    retry_after: timedelta | None = None


Observation = Running | Ended | Missed


# --- watches and results


class FinalStatus(StrEnum):
    """How a watch ends: ARM's three words, and ours."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    TIMED_OUT = "TimedOut"
    LOST = "Lost"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of a watch, kept from the instant it was seen."""

    status: FinalStatus
    finished_at: datetime
    end_time: datetime | None = None
    error: ArmError | None = None
    result: JsonText | None = None
    lost_reason: str | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a watch and a result both tell of an operation."""

    operation: Operation
    registered_at: datetime
    deadline_at: datetime
    kind: str | None = None
    status: str | None = None  # ARM's own word as last seen
    start_time: datetime | None = None
    last_polled_at: datetime | None = None
    percent_complete: float | None = None
    polls: int = 0
    misses: int = 0
    last_miss: str | None = None
    callbacks: tuple[str, ...] = ()
    client_state: JsonText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Followed):
    """Our commitment to follow one operation to its end."""

    due_at: datetime
    seq: int = 1
    late_since: datetime | None = None  # it was due then, and has only been woken since
    unreadable_since: datetime | None = None  # nothing but 401/403/404/410 has come since
    is_doubted: bool = False  # the last poll showed an end that only the next one can confirm
    end: End | None = None  # seen and kept; what follows from it is under way

    @property
    def key(self) -> Key:
        """Where the watch lives: its operation's key."""
        return self.operation.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Followed):
    """The record of an ended operation; it never changes."""

    end: End


# --- deliveries


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"


Layer = Literal["dns", "connect", "tls", "timeout", "http", "refused", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST: when, how long, and what came of it."""

    at: datetime
    duration: float  # seconds
    status_code: int | None = None
    layer: Layer | None = None  # that failed
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The duty to send one result to one callback."""

    key: Key
    operation: Key
    delivery_id: str  # msg_…, the same for ever
    callback_url: str
    started_at: datetime  # of the present round: a replay begins the schedule again
    next_attempt_at: datetime | None  # None once settled
    state: DeliveryState = DeliveryState.PENDING
    reason: str | None = None  # why it was abandoned
    attempts: int = 0
    round_attempts: int = 0  # of the present round
    seq: int = 1
    last_status_code: int | None = None
    last_error: str | None = None
    last_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    attempt_log: tuple[Attempt, ...] = ()  # oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """How a host of callbacks has been doing; one that does well has no row."""

    name: str  # host and port
    failures: int  # in a row, across all deliveries
    open_until: datetime  # until when nothing is sent to it; in the past where it may be tried


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """A line of the list of operations, newest first."""

    operation: Key
    registered_at: datetime
    status: str | None = None
    kind: str | None = None
    location: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    finished_at: datetime | None = None
    error_code: str | None = None


# --- HTTP, as values


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A POST, ready to be sent."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP answer: header names in lower case, the body as far as it was read."""

    status_code: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No HTTP answer came: which layer failed, and how."""

    layer: Layer
    error: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A host of callbacks has room for one more attempt."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """A host of callbacks has no room for one more attempt."""

    standing: timedelta  # since an attempt there last began or ended


Turn = Granted | Crowded
