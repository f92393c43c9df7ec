"""What steps and queries need of the outside world: protocols no wider than their callers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from opswatch.core.arm import Observation
from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import HostCircuit, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.intake import Intake, Rejection
from opswatch.core.keys import Key, Operation
from opswatch.core.kinds import KindDurations, Sample
from opswatch.core.metrics import Metric
from opswatch.core.policy import Policy
from opswatch.core.schedule import Expectation
from opswatch.core.summary import Counted, HourCounts, PendingDelivery, RunningWatch, Summary
from opswatch.core.timeline import SettledEntry, UnsuccessfulEntry
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.core.webhook import Secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """A row as it was read or written."""

    value: T
    etag: str  # under which it may be changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The rows to find: all conditions that are given must hold."""

    partition: str | None = None
    partition_before: str | None = None  # exclusive
    row_prefix: str | None = None
    row_after: str | None = None  # exclusive
    due_before: datetime | None = None  # of a live table


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the results of a query; a page may be short or empty, and still not the last."""

    values: list[T]
    continuation: str | None = None  # opaque: where the next page begins; None on the last


class Table(Protocol[T]):
    """One table of one type of noun."""

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none."""

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""

    def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys."""

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` (1 to 1000) of the rows that `query` selects, in order.

        `continuation` is that of the page before; raises `ValueError` for any other text.
        """

    def iter_due_at(self) -> AsyncIterator[datetime]:
        """Yield since when each row of a live table is due, or will be; read only that column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The tables: two chains of live row and record, the timeline, and what else is kept.

    What shares a table of the storage has partitions of its own there: see `rows/tables.py`.
    """

    watches: Table[Watch]
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


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent and can still be removed."""

    message_id: str
    receipt: str


class Queue(Protocol):
    """A queue of messages."""

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message that becomes visible after `delay`, rounded up to seconds; at most 7 d."""

    async def take_back(self, sent: Sent) -> None:
        """Remove a message that has become superfluous; nothing happens if it is gone."""

    async def depth(self) -> int:
        """Return the approximate number of messages, hidden ones included."""


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
    """ARM's budget of reads, as far as this process knows it."""

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

    def slot(self, url: str) -> AbstractAsyncContextManager[Slot]:
        """Enter with a slot for one attempt at the URL's host, or soon without one."""

    async def post(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """POST one attempt; every outcome is a value."""


class Telemetry(Protocol):
    """Metrics and spans; log lines do not pass here."""

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
    telemetry: Telemetry
    clock: Callable[[], datetime]  # aware, UTC; read once a step
    intake: Intake
    policy: Policy
    secrets: tuple[Secret, ...]
