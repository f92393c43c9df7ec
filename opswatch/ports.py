"""What the steps need of the outside world: protocols no wider than their callers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from opswatch.core.intake import Intake
from opswatch.core.metrics import Metric
from opswatch.core.model import (
    CallbackRequest,
    Delivery,
    Host,
    HttpResponse,
    Key,
    NoAnswer,
    Policy,
    Rejection,
    Result,
    TimelineEntry,
    Turn,
    WakeUp,
    Watch,
)
from opswatch.core.webhook import Secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A row as it was read or written, and the ETag under which it may be changed."""

    noun: T
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which rows to find; every condition given must hold."""

    partition: str | None = None
    partition_before: str | None = None  # exclusive
    row_prefix: str | None = None
    due_before: datetime | None = None  # of a live table


class Table(Protocol[T]):
    """One table of one kind of noun."""

    async def get(self, key: Key) -> Versioned[T] | None:
        """Return the row, or None where there is none."""

    async def insert(self, noun: T) -> Versioned[T] | None:
        """Write a new row; return None, changing nothing, where another one stands already."""

    async def replace(self, noun: T, version: str) -> Versioned[T] | None:
        """Write over the row that has `version`; return None where it has changed or is gone."""

    async def put(self, noun: T) -> None:
        """Write the row, whatever stands there."""

    async def delete(self, key: Key, version: str | None = None) -> bool:
        """Remove the row, if it has `version` where one is given; return False if it has not."""

    def find(self, where: Where) -> AsyncIterator[Versioned[T]]:
        """Yield the rows that `where` selects, in the order of their keys."""

    def due_times(self) -> AsyncIterator[datetime]:
        """Yield since when each row of a live table is due, or will be; read nothing else of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The tables: two chains of live and record, the list, what was rejected, and bad hosts."""

    watches: Table[Watch]
    results: Table[Result]
    outbox: Table[Delivery]
    deliveries: Table[Delivery]
    timeline: Table[TimelineEntry]
    rejections: Table[Rejection]
    hosts: Table[Host]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent and may still be taken back."""

    message_id: str
    receipt: str


class Queue(Protocol):
    """A queue of wake-ups."""

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message that becomes visible after `delay` (whole seconds, at most 7 days)."""

    async def take_back(self, sent: Sent) -> None:
        """Remove a message that was sent for nothing; no matter if it is gone."""

    async def depth(self) -> int:
        """Return about how many messages there are, waiting ones included."""


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A message that the host gave up, and how to remove it."""

    body: bytes
    sent: Sent


class PoisonQueue(Protocol):
    """Where the host puts the messages that it gives up."""

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, hidden for a while from everybody else."""

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been seen to."""

    async def depth(self) -> int:
        """Return about how many messages there are, hidden ones included."""


class Arm(Protocol):
    """ARM, as far as it is read."""

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        """GET a status URL with our token; whatever happens is an answer or none."""


class Callbacks(Protocol):
    """Receivers of callbacks."""

    def turn(self, url: str) -> AbstractAsyncContextManager[Turn]:
        """Enter when the host has room for one more attempt, or when it will have none soon."""

    async def post(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """POST one attempt; whatever happens is an answer or none."""


class Telemetry(Protocol):
    """Metrics and spans, for whoever collects them; log lines go their own way."""

    def measure(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Add a measurement to `metric`."""

    def span(
        self, name: str, link: str | None = None, **attributes: str | int
    ) -> AbstractContextManager[None]:
        """Run the block in a new span, linked to the span of the trace context `link`."""

    def note(self, **attributes: str | int) -> None:
        """Add facts to the current span."""

    def traceparent(self) -> str | None:
        """Return the W3C trace context of the current span; None outside of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a step works with: the ports, and the rules under which it uses them."""

    store: Store
    operations: Queue
    deliveries: Queue
    poison: tuple[PoisonQueue, ...]  # in the order of their queues' names in `wire`
    arm: Arm
    callbacks: Callbacks
    telemetry: Telemetry
    clock: Callable[[], datetime]  # aware, UTC; read once a step
    intake: Intake
    policy: Policy
    secrets: tuple[Secret, ...]
