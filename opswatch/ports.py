"""What steps and queries need of the outside world: protocols no wider than their callers."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import Acquired, Busy, HostCircuit, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.intake import Intake, Rejection
from opswatch.core.keys import Key, Operation
from opswatch.core.kinds import KindDurations, Sample
from opswatch.core.lookahead import LookAhead
from opswatch.core.metrics import Metric
from opswatch.core.mistakes import Mistake
from opswatch.core.observations import Observation
from opswatch.core.policy import Policy
from opswatch.core.schedule import Expectation
from opswatch.core.summary import Counted, HourCounts, PendingDelivery, RunningWatch, Summary
from opswatch.core.timeline import SettledEntry, UnsuccessfulEntry
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.core.webhook import Secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """A row as it was read or written."""

    value: T
    etag: str  # under which it may be changed
    is_copy: bool = False  # it came with a wake-up: stale perhaps, and without some fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The rows to find: all conditions that are given must hold."""

    partition: str | None = None
    partition_before: str | None = None  # exclusive
    row_prefix: str | None = None
    row_after: str | None = None  # exclusive
    due_from: datetime | None = None  # inclusive, of a live table
    due_before: datetime | None = None  # exclusive, of a live table
    far: bool | None = None  # of a live table: whether a row waits without a message


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the results of a query; a page may be short or empty, and still not the last."""

    values: list[T]
    continuation: str | None = None  # opaque: where the next page begins; None on the last


class Table(Protocol[T]):
    """One table of one type of noun."""

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none.

        A row that cannot be decoded is reported, and raises `rows.codec.UnreadableRowError`.
        """

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""

    async def delete_all(self, rows: Sequence[Row[T]]) -> set[Key]:
        """Remove the rows that have not changed, each named once; return the keys of the others."""

    def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys.

        A row that cannot be decoded is reported and passed over.
        """

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` (1 to 1000) of the rows that `query` selects, in order.

        A row that cannot be decoded is reported and passed over. `continuation` is that of the
        page before; raises `ValueError` for any other text.
        """


class LiveTable(Table[T], Protocol[T]):
    """A table of rows that are worked on: see `Row.is_copy`."""

    async def merge(self, row: Row[T], noun: T) -> Row[T] | None:
        """Write what `noun` changes of `row`; return None if the row has changed or is gone.

        None, too, if `row` is a copy and cannot be merged: a field has lost its value.
        """

    def recall(self, key: Key) -> Row[T] | None:
        """Return the row as this process wrote it last, if it remembers: stale perhaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The tables: two chains of live row and record, the timeline, and what else is kept.

    Tables that share one of the storage have separate partitions there: see `rows/tables.py`.
    """

    watches: LiveTable[Watch]
    results: Table[Result]
    outbox: Table[Delivery]
    deliveries: Table[Delivery]
    timeline: Table[TimelineEntry]
    unsuccessful: Table[UnsuccessfulEntry]  # in the same table of the storage, as are the settled
    settled: Table[SettledEntry]
    summary: Table[Summary]
    hours: Table[HourCounts]
    running: Table[RunningWatch]  # the watches, in part, and the outbox: to be counted
    pending: Table[PendingDelivery]
    rejections: Table[Rejection]
    hosts: Table[HostCircuit]
    durations: Table[KindDurations]
    lookahead: Table[LookAhead]


@dataclass(frozen=True, slots=True)
class Peeked:
    """A message at the head of a queue."""

    body: bytes
    sent_at: datetime


class Queue(Protocol):
    """A queue of messages; a message becomes visible after a delay, rounded up to seconds."""

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        """Send a separate message, to be visible after `delay`, at most 7 days."""

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        """Send a wake-up, perhaps in one message with others of the same second."""

    async def peek(self) -> Peeked | None:
        """Return the message that is next, and leave it in the queue; None if none is visible."""

    async def depth(self) -> int:
        """Return the approximate number of messages, hidden ones included."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that can still be removed."""

    message_id: str
    receipt: str


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A message that the host gave up, and how to remove it."""

    body: bytes
    sent: Sent


class PoisonQueue(Protocol):
    """The queue into which the host puts the messages of another queue that it gives up."""

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, and hide them from other callers for a while."""

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been handled."""

    async def depth(self) -> int:
        """Return the approximate number of messages, hidden ones included."""


class Arm(Protocol):
    """ARM, as an identity may read it."""

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        """GET a status URL with the app's token; every outcome is a value."""


class Budget(Protocol):
    """What this process knows of ARM's budget of reads."""

    def delay(self, operation: Operation, now: datetime, *, has_waited: bool) -> timedelta:
        """Return zero and count the read if it may be made now, or else how long to postpone it.

        A read that has waited goes before others.
        """

    def record(
        self,
        operation: Operation,
        answer: HttpResponse | NoAnswer,
        seen: Observation,
        now: datetime,
    ) -> None:
        """Learn from an answer what is left, and whether ARM throttles."""


class Durations(Protocol):
    """What is learned from how long operations take; nothing here waits."""

    def expectation(self, kind: Key) -> Expectation:
        """Return what is expected of a kind: what was read of it last, or the prior."""

    def add(self, sample: Sample) -> None:
        """Count an ended operation, later."""


class Counts(Protocol):
    """What is counted by the hour; nothing here waits."""

    def add(self, counted: Counted, at: datetime) -> None:
        """Count something that happened, later."""


class Callbacks(Protocol):
    """Receivers of callbacks."""

    def slot(self, url: str, *, forced: bool = False) -> AbstractAsyncContextManager[Slot]:
        """Enter with a slot for one attempt at the URL's host, or soon without one.

        If it is `forced`, there is always a slot.
        """

    async def post(
        self, request: CallbackRequest, slot: Acquired
    ) -> HttpResponse | NoAnswer | Busy:
        """POST one attempt in its slot; every outcome is a value.

        `Busy` is no attempt: nothing was sent, and nothing is known about the receiver. A forced
        slot has no such outcome.
        """


class Telemetry(Protocol):
    """Metrics and spans; log lines do not pass here."""

    def is_sampled(self) -> bool:
        """Return whether the current span is kept; True if spans are not made at all."""

    def measure(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Add a measurement to `metric`."""

    def span(
        self, name: str, link: str | None = None, **attributes: str | int
    ) -> AbstractContextManager[None]:
        """Run the block in a new span, linked to the span of the trace context `link`."""

    def note(self, **attributes: str | int) -> None:
        """Add attributes to the current span."""

    def traceparent(self) -> str | None:
        """Return the W3C trace context of the current span; None outside of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What steps work with: the ports, and the rules under which they are used."""

    store: Store
    operations: Queue
    deliveries: Queue
    poison: tuple[PoisonQueue, ...]  # in the order of `rows.messages.QUEUES`
    arm: Arm
    budget: Budget
    durations: Durations
    counts: Counts
    callbacks: Callbacks
    under_way: Callable[[], AbstractContextManager[None]]  # around each piece of work
    # Until when each look-ahead, by its live table, surely runs: what this process has seen.
    trusted_looks: dict[str, datetime]
    telemetry: Telemetry
    clock: Callable[[], datetime]  # aware, UTC; read once a step
    intake: Intake
    policy: Policy
    secrets: tuple[Secret, ...]
    mistakes: tuple[Mistake, ...] = ()  # in the settings: what they stop must not be done
