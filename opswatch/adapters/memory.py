"""In-memory twins of the ports: for tests and simulations, and shipped so that yours can use them.

A table keeps encoded rows, as the real one does, so that nothing is shared and every codec is used.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar

from opswatch.core import wire
from opswatch.core.metrics import Metric
from opswatch.core.model import (
    CallbackRequest,
    Delivery,
    Granted,
    Host,
    HttpResponse,
    Key,
    NoAnswer,
    Rejection,
    Result,
    TimelineEntry,
    Turn,
    WakeUp,
    Watch,
)
from opswatch.core.timestamps import whole_seconds
from opswatch.core.wire import Codec, Row, wake_up_text
from opswatch.ports import Poisoned, Sent, Store, Versioned, Where

T = TypeVar("T")


class MemoryTable(Generic[T]):
    """A table in memory."""

    def __init__(self, codec: Codec[T]) -> None:
        self._codec = codec
        self._versions = count(1)
        self.rows: dict[Key, tuple[Row, str]] = {}

    async def get(self, key: Key) -> Versioned[T] | None:
        """Return the row, or None where there is none."""
        return self._read(self.rows[key]) if key in self.rows else None

    async def insert(self, noun: T) -> Versioned[T] | None:
        """Write a new row; return None, changing nothing, where another one stands already."""
        key = self._codec.key(noun)
        return self._if_same(key, noun) if key in self.rows else self._write(key, noun)

    async def replace(self, noun: T, version: str) -> Versioned[T] | None:
        """Write over the row that has `version`; return None where it has changed or is gone."""
        key = self._codec.key(noun)
        if key not in self.rows:
            return None
        if self.rows[key][1] != version:
            return self._if_same(key, noun)
        return self._write(key, noun)

    async def put(self, noun: T) -> None:
        """Write the row, whatever stands there."""
        self._write(self._codec.key(noun), noun)

    async def delete(self, key: Key, version: str | None = None) -> bool:
        """Remove the row, if it has `version` where one is given; return False if it has not."""
        if key in self.rows and version not in (None, self.rows[key][1]):
            return False
        self.rows.pop(key, None)
        return True

    async def find(self, where: Where) -> AsyncIterator[Versioned[T]]:
        """Yield the rows that `where` selects, in the order of their keys."""
        for key in self._keys():
            if key in self.rows and _selects(where, self.rows[key][0], self._codec.due):
                yield self._read(self.rows[key])

    async def due_times(self) -> AsyncIterator[datetime]:
        """Yield since when each row of a live table is due, or will be; read nothing else of it."""
        for row, _ in list(self.rows.values()):
            yield self._codec.due_since(row)

    def nouns(self) -> list[T]:
        """Return what the rows say, in the order of their keys."""
        return [self._read(self.rows[key]).noun for key in self._keys()]

    def _keys(self) -> list[Key]:
        return sorted(self.rows, key=lambda key: (key.partition, key.row))

    def _write(self, key: Key, noun: T) -> Versioned[T]:
        version = f'W/"{next(self._versions)}"'
        self.rows[key] = (self._codec.row(noun), version)
        return Versioned(noun, version)

    def _if_same(self, key: Key, noun: T) -> Versioned[T] | None:
        standing = self._read(self.rows[key])
        is_same = self._codec.row(standing.noun) == self._codec.row(noun)
        return standing if is_same else None

    def _read(self, stored: tuple[Row, str]) -> Versioned[T]:
        return Versioned(self._codec.read(dict(stored[0])), stored[1])


def _selects(where: Where, row: Row, due: str) -> bool:
    partition, key = row["PartitionKey"], row["RowKey"]
    due_at: Any = row.get(due)
    return (
        where.partition in (None, partition)
        and (where.partition_before is None or partition < where.partition_before)
        and (where.row_prefix is None or key.startswith(where.row_prefix))
        and (where.due_before is None or (due_at is not None and due_at < where.due_before))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStore(Store):
    """All tables in memory."""

    watches: MemoryTable[Watch] = field(default_factory=lambda: MemoryTable(wire.WATCHES))
    results: MemoryTable[Result] = field(default_factory=lambda: MemoryTable(wire.RESULTS))
    outbox: MemoryTable[Delivery] = field(default_factory=lambda: MemoryTable(wire.OUTBOX))
    deliveries: MemoryTable[Delivery] = field(default_factory=lambda: MemoryTable(wire.DELIVERIES))
    timeline: MemoryTable[TimelineEntry] = field(default_factory=lambda: MemoryTable(wire.TIMELINE))
    rejections: MemoryTable[Rejection] = field(default_factory=lambda: MemoryTable(wire.REJECTIONS))
    hosts: MemoryTable[Host] = field(default_factory=lambda: MemoryTable(wire.HOSTS))


@dataclass(slots=True)
class Message:
    """A message of a queue in memory."""

    message_id: str
    body: bytes
    visible_at: datetime
    receipt: str = "0"
    dequeue_count: int = 0


class MemoryQueue:
    """A queue in memory, with leases as the real one has them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ids = count(1)
        self.messages: dict[str, Message] = {}

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message that becomes visible after `delay` (whole seconds, at most 7 days)."""
        return self.post(wake_up_text(wake).encode(), delay)

    async def take_back(self, sent: Sent) -> None:
        """Remove a message that was sent for nothing; no matter if it is gone."""
        self.delete(sent)

    async def depth(self) -> int:
        """Return how many messages there are, waiting ones included."""
        return len(self.messages)

    def post(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        """Send any message, as a user does."""
        if delay > wire.MAX_DELAY:
            raise ValueError(f"a queue cannot wait for {delay}")
        message_id = str(next(self._ids))
        visible_at = self._clock() + timedelta(seconds=whole_seconds(delay))
        self.messages[message_id] = Message(message_id, body, visible_at)
        return Sent(message_id, "0")

    def receive(self, lease: timedelta = timedelta(minutes=10), most: int = 32) -> list[Message]:
        """Return copies of visible messages, each leased under a new receipt."""
        now = self._clock()
        ready = [message for message in self.messages.values() if message.visible_at <= now]
        return [self.lease(message, lease) for message in ready[:most]]

    def lease(self, message: Message, lease: timedelta) -> Message:
        """Return a copy of a message of this queue, leased under a new receipt."""
        message.dequeue_count += 1
        message.visible_at = self._clock() + lease
        message.receipt = str(message.dequeue_count)
        return replace(message)

    def delete(self, sent: Sent) -> bool:
        """Remove a message, if the receipt is its latest."""
        standing = self._held(sent)
        return standing is not None and self.messages.pop(sent.message_id) is standing

    def release(self, sent: Sent, delay: timedelta) -> bool:
        """Make a message visible again after `delay`, if the receipt is its latest."""
        standing = self._held(sent)
        if standing is None:
            return False
        standing.visible_at = self._clock() + delay
        standing.receipt += "'"
        return True

    def _held(self, sent: Sent) -> Message | None:
        standing = self.messages.get(sent.message_id)
        return standing if standing is not None and standing.receipt == sent.receipt else None


class MemoryPoisonQueue:
    """A poison queue over a queue in memory."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, hidden for a while from everybody else."""
        return [
            Poisoned(message.body, Sent(message.message_id, message.receipt))
            for message in self.queue.receive(timedelta(minutes=1))
        ]

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been seen to."""
        self.queue.delete(poisoned.sent)

    async def depth(self) -> int:
        """Return how many messages there are, hidden ones included."""
        return await self.queue.depth()


class MemoryArm:
    """ARM as a function from URLs to answers; remembers what it was asked."""

    def __init__(self, answer: Callable[[str], HttpResponse | NoAnswer]) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        """Return the function's answer."""
        self.asked.append(url)
        return self._answer(url)


@dataclass(slots=True)
class MemoryCallbacks:
    """Receivers as a function from requests to answers; remembers what it was sent."""

    answer: Callable[[CallbackRequest], HttpResponse | NoAnswer] = lambda _: HttpResponse(204, {})
    requests: list[CallbackRequest] = field(default_factory=list)
    room: Turn = field(default_factory=Granted)  # at every host

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[Turn]:  # noqa: ARG002 - the port's
        """Enter at once."""
        yield self.room

    async def post(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """Return the function's answer."""
        self.requests.append(request)
        return self.answer(request)


class NoTelemetry:
    """Telemetry for nobody: what it is told costs a call, and is forgotten."""

    _span = nullcontext()

    def measure(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Forget a measurement."""

    def span(
        self,
        name: str,  # noqa: ARG002 - the port's
        link: str | None = None,  # noqa: ARG002
        **attributes: str | int,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Run the block, and nothing else."""
        return self._span

    def note(self, **attributes: str | int) -> None:
        """Forget the facts."""

    def traceparent(self) -> str | None:
        """Return None: there is no span."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span that has begun, and may have ended; its attributes grow."""

    name: str
    traceparent: str
    link: str | None
    attributes: dict[str, str | int]


class MemoryTelemetry:
    """Telemetry in memory; remembers what it is told."""

    def __init__(self) -> None:
        self.measured: list[tuple[Metric, float, dict[str, str]]] = []
        self.spans: list[Span] = []
        self._current: ContextVar[Span | None] = ContextVar("span", default=None)

    def measure(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Add a measurement to `metric`."""
        self.measured.append((metric, value, dimensions))

    @contextmanager
    def span(self, name: str, link: str | None = None, **attributes: str | int) -> Iterator[None]:
        """Run the block in a new span, linked to the span of the trace context `link`."""
        number = len(self.spans) + 1
        traceparent = f"00-{number:032x}-{number:016x}-01"
        span = Span(name=name, traceparent=traceparent, link=link, attributes=attributes)
        self.spans.append(span)
        token = self._current.set(span)
        try:
            yield
        finally:
            self._current.reset(token)

    def note(self, **attributes: str | int) -> None:
        """Add facts to the current span."""
        if span := self._current.get():
            span.attributes.update(attributes)

    def traceparent(self) -> str | None:
        """Return the W3C trace context of the current span; None outside of any."""
        span = self._current.get()
        return span.traceparent if span else None


Step = Callable[[bytes], Awaitable[None]]


async def pump(queue: MemoryQueue, step: Step) -> int:
    """Run `step` over every visible message, as the host does; return how many there were."""
    received = queue.receive()
    for message in received:
        await step(message.body)
        queue.delete(Sent(message.message_id, message.receipt))
    return len(received)
