"""Fakes of what is no storage: ARM, receivers, telemetry, and what a process learns and counts."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opswatch.core.hosts import Acquired, Busy, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key, Operation
from opswatch.core.kinds import KindDurations, Sample, count_sample
from opswatch.core.metrics import Metric
from opswatch.core.observations import Observation
from opswatch.core.policy import Policy
from opswatch.core.schedule import Expectation, expect, expect_unknown
from opswatch.core.summary import Counted, HourCounts, one_more


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
