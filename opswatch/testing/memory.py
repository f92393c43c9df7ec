"""In-memory fakes of the ports, for tests and simulations: of opswatch, and of your own code.

Every fake is complete: tables check ETags and keep encoded rows as the real ones do, queues lease
messages, and what was asked of ARM, receivers and telemetry can be read afterwards. Time comes from
the clock that you pass in. The app itself imports nothing from this module.

    queue = MemoryQueue(clock)
    services = Services(store=MemoryStore(), operations=queue, arm=MemoryArm(answer), ...)
    await pump(queue, lambda body: operations_message(services, body))
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar

from opswatch.core.arm import Observation
from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import Acquired, Busy, HostCircuit, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key, Operation
from opswatch.core.kinds import KindDurations, Sample, count_sample
from opswatch.core.lookahead import LookAhead
from opswatch.core.metrics import Metric
from opswatch.core.policy import MAX_DELAY, Policy
from opswatch.core.schedule import Expectation, expect, expect_unknown
from opswatch.core.summary import (
    Counted,
    HourCounts,
    PendingDelivery,
    RunningWatch,
    Summary,
    one_more,
)
from opswatch.core.timeline import SettledEntry, UnsuccessfulEntry
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.ports import Page, Peeked, Poisoned, Query, Row, Sent, Store
from opswatch.rows import tables
from opswatch.rows.codec import Codec, Entity, Noun, UnreadableRowError
from opswatch.rows.messages import encode_wake_ups

T = TypeVar("T", bound=Noun)


class MemoryTable(Generic[T]):
    """A table in memory; `beside` is one of other nouns with which it shares its rows."""

    def __init__(self, codec: Codec[T], beside: "MemoryTable[Any] | None" = None) -> None:
        self._codec = codec
        self._etags = count(1)
        # The entity and its ETag.
        self.rows: dict[Key, tuple[Entity, str]] = beside.rows if beside else {}
        self.unreadable: list[Key] = []  # of rows that could not be decoded, each time

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none."""
        if key not in self.rows:
            return None
        return self._readable(key) or self._read(key)  # which raises

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""
        key = noun.key
        return None if key in self.rows else self._write(key, noun)

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""
        key = noun.key
        if key not in self.rows:
            return None
        if self.rows[key][1] == etag:
            return self._write(key, noun)
        current = self._read(key)  # a repeated write conflicts with itself
        return current if self._codec.encode(current.value) == self._codec.encode(noun) else None

    async def merge(self, row: Row[T], noun: T) -> Row[T] | None:
        """Write what `noun` changes of `row`; return None if the row has changed or is gone."""
        key = noun.key
        before, after = self._codec.encode(row.value), self._codec.encode(noun)
        if row.is_copy and not before.keys() <= after.keys():
            return None
        if key not in self.rows:
            return None
        entity, etag = self.rows[key]
        changed = {name: after[name] for name in after if after[name] != before.get(name)}
        if etag != row.etag:  # a repeated write conflicts with itself
            is_written = all(entity.get(name) == value for name, value in changed.items())
            return self._read(key) if is_written else None
        kept = {name: value for name, value in entity.items() if name in after or row.is_copy}
        return replace(self._write_entity(key, kept | changed, noun), is_copy=row.is_copy)

    def recall(self, key: Key) -> Row[T] | None:  # noqa: ARG002 - the port's
        """Return None: it remembers nothing."""
        return None

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""
        self._write(noun.key, noun)

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""
        if key in self.rows and etag not in (None, self.rows[key][1]):
            return False
        self.rows.pop(key, None)
        return True

    async def delete_all(self, rows: Sequence[Row[T]]) -> set[Key]:
        """Remove the rows that have not changed, each named once; return the keys of the others."""
        return {row.value.key for row in rows if not await self.delete(row.value.key, row.etag)}

    async def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys."""
        for key in self._keys():
            if key in self.rows and self._selects(query, key):
                row = self._readable(key)
                if row is not None:
                    yield row

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` of the rows that `query` selects, in order."""
        if continuation is not None and continuation.count("\n") != 1:
            raise ValueError("not a continuation")
        after = Key(*continuation.split("\n")) if continuation else None
        keys = [key for key in self._keys() if self._selects(query, key)]
        if after is not None:
            keys = [key for key in keys if (key.partition, key.row) > (after.partition, after.row)]
        page = keys[:limit]
        last = f"{page[-1].partition}\n{page[-1].row}" if len(keys) > limit else None
        rows = [self._readable(key) for key in page]
        return Page([row for row in rows if row is not None], last)

    def values(self) -> list[T]:
        """Return the contents of the rows, in the order of their keys."""
        return [self._read(key).value for key in self._keys()]

    def _keys(self) -> list[Key]:
        keys = [key for key in self.rows if self._codec.has(key.partition)]
        return sorted(keys, key=lambda key: (key.partition, key.row))

    def _read(self, key: Key) -> Row[T]:
        entity, etag = self.rows[key]
        return Row(self._codec.decode(entity), etag)

    def _readable(self, key: Key) -> Row[T] | None:
        try:
            return self._read(key)
        except UnreadableRowError:
            self.unreadable.append(key)
            return None

    def _write(self, key: Key, noun: T) -> Row[T]:
        return self._write_entity(key, self._codec.encode(noun), noun)

    def _write_entity(self, key: Key, entity: Entity, noun: T) -> Row[T]:
        etag = f'W/"{next(self._etags)}"'
        self.rows[key] = (entity, etag)
        return Row(noun, etag)

    def _selects(self, query: Query, key: Key) -> bool:
        entity = self.rows[key][0]
        due_at: Any = entity.get(self._codec.due)
        if not isinstance(due_at, datetime):
            due_at = None  # as in the storage: a condition on a column of another type never holds
        return (
            query.partition in (None, key.partition)
            and (query.partition_before is None or key.partition < query.partition_before)
            and (query.row_prefix is None or key.row.startswith(query.row_prefix))
            and (query.row_after is None or key.row > query.row_after)
            and (query.due_from is None or (due_at is not None and due_at >= query.due_from))
            and (query.due_before is None or (due_at is not None and due_at < query.due_before))
            and query.far in (None, entity.get("far"))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStore(Store):
    """All tables in memory."""

    watches: MemoryTable[Watch] = field(default_factory=lambda: MemoryTable(tables.WATCHES))
    results: MemoryTable[Result] = field(default_factory=lambda: MemoryTable(tables.RESULTS))
    outbox: MemoryTable[Delivery] = field(default_factory=lambda: MemoryTable(tables.OUTBOX))
    deliveries: MemoryTable[Delivery] = field(
        default_factory=lambda: MemoryTable(tables.DELIVERIES)
    )
    timeline: MemoryTable[TimelineEntry] = field(
        default_factory=lambda: MemoryTable(tables.TIMELINE)
    )
    unsuccessful: MemoryTable[UnsuccessfulEntry] = field(init=False)
    settled: MemoryTable[SettledEntry] = field(init=False)
    summary: MemoryTable[Summary] = field(init=False)
    hours: MemoryTable[HourCounts] = field(init=False)
    running: MemoryTable[RunningWatch] = field(init=False)
    pending: MemoryTable[PendingDelivery] = field(init=False)
    rejections: MemoryTable[Rejection] = field(
        default_factory=lambda: MemoryTable(tables.REJECTIONS)
    )
    hosts: MemoryTable[HostCircuit] = field(default_factory=lambda: MemoryTable(tables.HOSTS))
    durations: MemoryTable[KindDurations] = field(
        default_factory=lambda: MemoryTable(tables.DURATIONS)
    )
    lookahead: MemoryTable[LookAhead] = field(default_factory=lambda: MemoryTable(tables.LOOKAHEAD))

    def __post_init__(self) -> None:
        beside: dict[str, MemoryTable[Any]] = {
            "unsuccessful": MemoryTable(tables.UNSUCCESSFUL, beside=self.timeline),
            "settled": MemoryTable(tables.SETTLED, beside=self.timeline),
            "summary": MemoryTable(tables.SUMMARY, beside=self.timeline),
            "hours": MemoryTable(tables.HOURS, beside=self.timeline),
            "running": MemoryTable(tables.RUNNING, beside=self.watches),
            "pending": MemoryTable(tables.PENDING, beside=self.outbox),
        }
        for name, table in beside.items():
            object.__setattr__(self, name, table)


@dataclass(slots=True)
class Message:
    """A message of a queue in memory."""

    message_id: str
    body: bytes
    visible_at: datetime
    sent_at: datetime
    receipt: str = "0"
    dequeue_count: int = 0


class MemoryQueue:
    """A queue in memory, with leases as the real one has them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ids = count(1)
        self.messages: dict[str, Message] = {}

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        """Send a separate message, to be visible after `delay`, at most 7 days."""
        self.post(body, delay)

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        """Send a wake-up in a separate message."""
        for body in encode_wake_ups([wake]):
            await self.send(body, delay)

    async def peek(self) -> Peeked | None:
        """Return the message that is next, and leave it in the queue; None if none is visible."""
        now = self._clock()
        for message in self.messages.values():
            if message.visible_at <= now:
                return Peeked(message.body, message.sent_at)
        return None

    async def depth(self) -> int:
        """Return the number of messages, hidden ones included."""
        return len(self.messages)

    def post(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message, as a user does."""
        if delay > MAX_DELAY:
            raise ValueError(f"a queue cannot wait for {delay}")
        message_id = str(next(self._ids))
        seconds = max(0, math.ceil(delay.total_seconds()))
        now = self._clock()
        self.messages[message_id] = Message(message_id, body, now + timedelta(seconds=seconds), now)
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
        return self._held(sent) is not None and bool(self.messages.pop(sent.message_id))

    def release(self, sent: Sent, delay: timedelta) -> bool:
        """Make a message visible again after `delay`, if the receipt is its latest."""
        message = self._held(sent)
        if message is None:
            return False
        message.visible_at = self._clock() + delay
        message.receipt += "'"
        return True

    def _held(self, sent: Sent) -> Message | None:
        message = self.messages.get(sent.message_id)
        return message if message is not None and message.receipt == sent.receipt else None


class MemoryPoisonQueue:
    """A poison queue over a queue in memory."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, and hide them for a minute."""
        return [
            Poisoned(message.body, Sent(message.message_id, message.receipt))
            for message in self.queue.receive(timedelta(minutes=1))
        ]

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been handled."""
        self.queue.delete(poisoned.sent)

    async def depth(self) -> int:
        """Return the number of messages, hidden ones included."""
        return await self.queue.depth()


class MemoryArm:
    """ARM as a function from URLs to answers; `asked` has the URLs that were polled."""

    def __init__(self, answer: Callable[[str], HttpResponse | NoAnswer]) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        """Return the function's answer."""
        self.asked.append(url)
        return self._answer(url)


@dataclass(slots=True)
class MemoryBudget:
    """A budget that postpones every read by `next_delay`; `recorded` has what it learned from."""

    next_delay: timedelta = timedelta(0)
    recorded: list[tuple[Operation, Observation]] = field(default_factory=list)

    def delay(self, operation: Operation, now: datetime, *, has_waited: bool) -> timedelta:  # noqa: ARG002 - the port's
        """Return `next_delay`."""
        return self.next_delay

    def record(
        self,
        operation: Operation,
        answer: HttpResponse | NoAnswer,  # noqa: ARG002 - the port's
        seen: Observation,
        now: datetime,  # noqa: ARG002 - the port's
    ) -> None:
        """Keep what was seen."""
        self.recorded.append((operation, seen))


class MemoryDurations:
    """Learned durations in memory; `samples` has the operations, which count at once."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._expectations: dict[Key, Expectation] = {}
        self.kinds: dict[Key, KindDurations] = {}
        self.samples: list[Sample] = []

    def expectation(self, kind: Key) -> Expectation:
        """Return what follows from the samples of a kind, or the prior."""
        known = self.kinds.get(kind)
        if known is None or known.updated_at is None:
            return expect_unknown(self._policy)
        if kind not in self._expectations:
            at = known.updated_at
            self._expectations[kind] = expect(known.history(at), at, self._policy)
        return self._expectations[kind]

    def add(self, sample: Sample) -> None:
        """Count an ended operation."""
        self.samples.append(sample)
        self.kinds[sample.kind] = count_sample(self.kinds.get(sample.kind), sample)
        self._expectations.pop(sample.kind, None)


class MemoryCounts:
    """Counts in memory, by the names of the hours."""

    def __init__(self) -> None:
        self.hours: dict[str, HourCounts] = {}

    def add(self, counted: Counted, at: datetime) -> None:
        """Count at once."""
        one = one_more(counted, at)
        known = self.hours.get(one.hour)
        self.hours[one.hour] = known.plus(one) if known else one


@dataclass(slots=True)
class MemoryCallbacks:
    """Receivers as a function from requests to answers; `requests` has what they received."""

    answer: Callable[[CallbackRequest], HttpResponse | NoAnswer] = lambda _: HttpResponse(204, {})
    requests: list[CallbackRequest] = field(default_factory=list)
    next_slot: Slot = field(default_factory=Acquired)  # at every host
    busy: Busy | None = None  # what an attempt finds before it is made, such as no name server

    @asynccontextmanager
    async def slot(
        self,
        url: str,  # noqa: ARG002 - the port's
        *,
        forced: bool = False,
    ) -> AsyncIterator[Slot]:
        """Enter at once."""
        yield Acquired(is_forced=True) if forced else self.next_slot

    async def post(
        self, request: CallbackRequest, slot: Acquired
    ) -> HttpResponse | NoAnswer | Busy:
        """Return the function's answer."""
        if self.busy is not None and not slot.is_forced:
            return self.busy
        self.requests.append(request)
        return self.answer(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span that has begun; attributes are added until it ends."""

    name: str
    traceparent: str
    link: str | None
    attributes: dict[str, str | int]


class MemoryTelemetry:
    """Telemetry in memory; `measured` and `spans` have everything that was reported."""

    def __init__(self) -> None:
        self.measured: list[tuple[Metric, float, dict[str, str]]] = []
        self.spans: list[Span] = []
        self._current: ContextVar[Span | None] = ContextVar("span", default=None)

    def is_sampled(self) -> bool:
        """Return True: no span is left out."""
        return True

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
        """Add attributes to the current span."""
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
