"""Metrics, events and spans of the steps, compared with `infra/telemetry.json`."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanContext, StatusCode, format_span_id, format_trace_id

from opswatch.config import Settings
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.kinds import Sample
from opswatch.core.metrics import METRICS
from opswatch.core.wakeups import WakeUp
from opswatch.steps import events
from opswatch.steps.poll import poll
from opswatch.steps.purge import purge
from opswatch.steps.repair import repair
from opswatch.testing import (
    MemoryArm,
    MemoryBudget,
    MemoryDurations,
    MemoryPoisonQueue,
    MemoryQueue,
)
from tests.support.collector import Collector, collecting, points_of
from tests.support.control import redeliver
from tests.support.harness import ENDPOINT, Harness, status_path, wake_up_message

DECLARED = json.loads((Path(__file__).parents[2] / "infra/telemetry.json").read_text("utf-8"))
HOOK = "https://hooks.example.com/in?token=hushhush"
HIDDEN = ("hushhush", "sig=", "callbackUrl", "whsec_")

Answer = HttpResponse | NoAnswer


def url_of(operation_id: str) -> str:
    return f"{ENDPOINT}{status_path(operation_id)}?api-version=1&t=1&sig=hushhush"


KEY = operation_from_url(url_of("1")).key


def status(word: str, **more: Any) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"status": word, **more}).encode())


def coded(status_code: int) -> HttpResponse:
    error = {"code": "TooMany", "message": f"too many for {url_of('1')}"}
    return HttpResponse(status_code, {}, json.dumps({"error": error}).encode())


class ReportingHarness(Harness):
    """A harness with telemetry, whose ARM and receiver give their answers in turn.

    The last answer of each is repeated.
    """

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self.collector = collector
        self.arm_answers: list[Answer] = [status("Succeeded")]
        self.receiver_answers: list[Answer] = [HttpResponse(204, {})]
        self.callbacks.answer = lambda _: _next(self.receiver_answers)
        self.poison_queues = MemoryQueue(self.clock), MemoryQueue(self.clock)
        self.services = replace(
            self.services,
            telemetry=collector.telemetry,
            arm=MemoryArm(lambda _: _next(self.arm_answers)),
            poison=tuple(MemoryPoisonQueue(queue) for queue in self.poison_queues),
        )

    async def register(self, callback_url: str | None = None, **more: str) -> None:
        """Register an operation; its first poll is due."""
        self.post(callback_url, **({"operation": url_of("1")} | more))
        await self.pump()


def _next(answers: list[Answer]) -> Answer:
    return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def harness(collector: Collector) -> ReportingHarness:
    return ReportingHarness(collector)


# --- every event, metric and span, by scenario


async def misses_then_failure_and_refusals(harness: ReportingHarness) -> None:
    ended_at = (harness.now + timedelta(seconds=2)).isoformat()
    harness.arm_answers = [
        status("InProgress"),
        coded(429),
        NoAnswer("timeout", "no answer"),
        status("Failed", endTime=ended_at, error={"code": "Conflict", "message": "no"}),
    ]
    harness.receiver_answers = [
        HttpResponse(500, {}),
        NoAnswer("tls", f"bad: {HOOK}"),
        HttpResponse(410, {}),
    ]
    await harness.register(HOOK, kind="redis/create")
    await harness.settle()
    harness.receiver_answers = [HttpResponse(204, {})]
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()


async def failing_host(harness: ReportingHarness) -> None:
    harness.receiver_answers = [HttpResponse(503, {})]
    for number in range(7):
        harness.post(f"{HOOK}&n={number}", operation=url_of("1"))
    await harness.settle()


async def stale_and_early_messages(harness: ReportingHarness) -> None:
    harness.arm_answers = [status("InProgress")]
    await harness.register()
    await poll(harness.services, WakeUp(key=KEY, seq=0))
    await poll(harness.services, WakeUp(key=KEY, seq=3, due_at=harness.now))
    await poll(harness.services, WakeUp(key=KEY, seq=3))
    await poll(harness.services, WakeUp(key=operation_from_url(url_of("2")).key, seq=1))


async def conflicting_commit(harness: ReportingHarness) -> None:
    def answer(_: str) -> Answer:
        row, _etag = harness.store.watches.rows[KEY]
        harness.store.watches.rows[KEY] = ({**row, "seq": 9}, "another's")
        return status("InProgress")

    harness.arm_answers = [status("InProgress")]
    await harness.register()
    await poll(replace(harness.services, arm=MemoryArm(answer)), WakeUp(key=KEY, seq=2))


async def repair_and_purge(harness: ReportingHarness) -> None:
    harness.arm_answers = [status("InProgress")]
    await harness.register()
    harness.operations.messages.clear()
    harness.poison_queues[0].post(b"no operation at all")
    harness.poison_queues[1].post(wake_up_message(WakeUp(key=Key("p", "r"), seq=1)))
    harness.advance(hours=1)
    await repair(harness.services)
    await harness.pump_all()  # the rejection
    harness.store.results.rows[KEY] = ({}, "unreadable")
    harness.advance(days=40)
    await purge(harness.services)


async def failing_and_slow_work(harness: ReportingHarness) -> None:
    """A poll fails, a look is lost, the look-ahead ends, and a part of the repair fails."""

    def answer(_: str) -> Answer:
        raise ConnectionError("no answer")

    harness.arm_answers = [status("InProgress")]
    await harness.register()
    harness.now = harness.watch.due_at
    harness.services, usual = replace(harness.services, arm=MemoryArm(answer)), harness.services
    await harness.pump_all()
    harness.services = usual
    harness.arm_answers = [HttpResponse(429, {"retry-after": "60"}), status("Succeeded")]
    harness.advance(seconds=10)
    await harness.pump_all()
    harness.operations.messages.clear()
    harness.advance(seconds=40)
    await repair(harness.services)
    harness.effects.before["lookahead.replace"] = Unreachable(harness.clock).depth
    await harness.settle()
    with pytest.raises(ConnectionError):
        await repair(replace(harness.services, deliveries=Unreachable(harness.clock)))
    error = ValueError(f"not a row: {HOOK}")
    events.record_unreadable_row(harness.services.telemetry, "watches", KEY, error)


async def missing_secret(harness: ReportingHarness) -> None:
    harness.services = replace(harness.services, secrets=())
    await harness.register(HOOK)


async def postponed_and_slow(harness: ReportingHarness) -> None:
    durations, budget = MemoryDurations(), MemoryBudget(next_delay=timedelta(seconds=5))
    harness.services = replace(harness.services, durations=durations, budget=budget)
    kind = Key("microsoft.cache", "redis~create")
    for _ in range(20):
        durations.add(Sample(kind=kind, low=1, high=1, status="Succeeded", at=harness.now))
    harness.arm_answers = [status("InProgress")]
    await harness.register(kind="redis/create")
    await harness.pump()
    budget.next_delay = timedelta(0)
    for _ in range(3):
        harness.advance(minutes=1)
        await harness.pump()
    events.record_durations_failed(ConnectionError(f"no answer: {HOOK}"))
    events.record_counts_failed(ConnectionError(f"no answer: {HOOK}"))
    for mistake in Settings.read({"OPSWATCH_CALLBACK_URL": HOOK.replace("https", "ftp")}).mistakes:
        events.record_mistake(mistake)
    events.record_kept("operations", 7, 20.0, ConnectionError(f"no answer: {HOOK}"))


async def unreadable_circuit(harness: ReportingHarness) -> None:
    async def fail(_: Key) -> None:
        raise ConnectionError(f"no answer: {HOOK}")

    harness.store.hosts.get = fail  # type: ignore[method-assign, assignment]
    await harness.register(HOOK)
    await harness.settle()


SCENARIOS = (
    misses_then_failure_and_refusals,
    failing_host,
    stale_and_early_messages,
    conflicting_commit,
    repair_and_purge,
    failing_and_slow_work,
    missing_secret,
    postponed_and_slow,
    unreadable_circuit,
)


@pytest.fixture
async def collected(collector: Collector) -> Collector:
    """A collector after all scenarios."""
    for scenario in SCENARIOS:
        await scenario(ReportingHarness(collector))
    return collector


async def test_metrics_match_their_declaration(collected: Collector) -> None:
    kinds = {Sum: "counter", Histogram: "histogram", Gauge: "gauge"}
    metrics = collected.metrics()
    assert {
        metric.name: {
            "kind": kinds[type(metric.data)],
            "unit": metric.unit,
            "dimensions": {name for point in points_of(metric) for name in point.attributes or {}},
        }
        for metric in metrics
    } == {
        name: {**declared, "dimensions": set(declared["dimensions"])}
        for name, declared in DECLARED["metrics"].items()
    }
    assert {metric.name for metric in METRICS} == DECLARED["metrics"].keys()


async def test_events_match_their_declaration(collected: Collector) -> None:
    fields: dict[str, set[str]] = {}
    for event in collected.events:
        fields.setdefault(event.name, set()).update(event.fields)
    declared = {name: set(fields) for name, fields in DECLARED["events"].items()}
    assert fields == declared
    assert all(event.text.startswith(event.name) for event in collected.events)


async def test_spans_match_their_declaration(collected: Collector) -> None:
    attributes: dict[str, set[str]] = {}
    for span in collected.spans():
        attributes.setdefault(span.name, set()).update(span.attributes or {})
    assert attributes == {name: set(names) for name, names in DECLARED["spans"].items()}


async def test_values_match_their_declaration(collected: Collector) -> None:
    seen: dict[str, set[str]] = {name: set() for name in DECLARED["values"]}
    for points in collected.points().values():
        for _, dimensions in points:
            for name in seen.keys() & dimensions.keys():
                seen[name].add(dimensions[name])
    for event in collected.events:
        for name in seen.keys() & event.fields.keys():
            seen[name].add(event.fields[name])
    assert seen == {name: set(values) for name, values in DECLARED["values"].items()}


async def test_telemetry_holds_no_url_or_secret(collected: Collector) -> None:
    texts = [
        *(f"{event.text} {event.fields}" for event in collected.events),
        *(str(points) for points in collected.points().values()),
        *(span.to_json() for span in collected.spans()),
    ]
    assert len(texts) > 100
    assert [text for text in texts for secret in HIDDEN if secret in text] == []


# --- values


async def test_polls_and_misses_are_counted(harness: ReportingHarness) -> None:
    harness.arm_answers = [coded(403), coded(429), NoAnswer("dns", "none"), status("Succeeded")]
    await harness.register()
    await harness.settle()
    points = harness.collector.points()
    assert sorted(points["polls"], key=str) == [
        (1, {"decision": "finish"}),
        (3, {"decision": "wait"}),
    ]
    assert sorted(points["misses"], key=str) == [
        (1, {"layer": "dns"}),
        (1, {"status_code": "403"}),
        (1, {"status_code": "429"}),
    ]


@pytest.mark.parametrize(("seconds", "lag"), [(-8, 8.0), (0, 0.0), (3, 0.0)])
async def test_lag_is_from_end_to_poll(harness: ReportingHarness, seconds: int, lag: float) -> None:
    end_time = (harness.now + timedelta(seconds=seconds)).isoformat()
    harness.arm_answers = [status("Succeeded", endTime=end_time)]
    await harness.register()
    await harness.settle()
    assert harness.collector.points()["lag"] == [(lag, {})]


async def test_unknown_end_has_no_lag(harness: ReportingHarness) -> None:
    await harness.register()
    await harness.settle()
    assert "lag" not in harness.collector.points()
    assert harness.collector.event("finished")["status"] == "Succeeded"


async def test_dimension_is_the_bare_reason(harness: ReportingHarness) -> None:
    harness.receiver_answers = [NoAnswer("refused", f"10.0.0.7 is private: {HOOK}")]
    await harness.register(HOOK)
    await harness.settle()
    assert harness.collector.points()["deliveries.settled"] == [
        (1, {"state": "abandoned", "reason": "refused"})
    ]
    reason = harness.collector.event("settled")["reason"]
    assert reason.startswith("refused: 10.0.0.7 is private")
    assert "hushhush" not in reason


async def test_repair_measures_watches_and_queues(harness: ReportingHarness) -> None:
    harness.arm_answers = [status("InProgress")]
    for number in range(3):
        harness.post(operation=url_of(str(number)))
    await harness.pump()
    await harness.pump()
    await repair(harness.services)
    points = harness.collector.points()
    assert points["watches.active"] == [(3, {})]
    assert points["watches.oldest_overdue"] == [(0, {})]
    assert sorted(points["queue.depth"], key=str) == [
        (0, {"queue": "deliveries"}),
        (3, {"queue": "operations"}),
    ]
    assert points["heartbeat"] == [(1, {})]


async def test_rescued_watch_stays_overdue_until_polled(harness: ReportingHarness) -> None:
    harness.arm_answers = [status("InProgress")]
    await harness.register()
    harness.operations.messages.clear()
    harness.now = due_at = harness.watch.due_at
    lateness = []
    for _ in range(10):
        harness.advance(minutes=1)
        await repair(harness.services)
        ((seconds, _),) = harness.collector.points()["watches.oldest_overdue"]
        lateness.append(seconds)
    assert lateness == [60.0 * minute for minute in range(1, 11)]
    assert (harness.watch.seq, harness.watch.due_at) == (2, due_at)
    await harness.pump()
    await repair(harness.services)
    assert harness.collector.points()["watches.oldest_overdue"] == [(0, {})]


async def test_poison_is_measured_before_it_is_removed(harness: ReportingHarness) -> None:
    for _ in range(3):
        harness.poison_queues[0].post(b"no operation at all")
    await repair(harness.services)
    assert harness.poison_queues[0].messages == {}
    assert sorted(harness.collector.points()["poison.depth"], key=str) == [
        (0, {"queue": "deliveries"}),
        (3, {"queue": "operations"}),
    ]


async def test_interrupted_repair_has_no_heartbeat(harness: ReportingHarness) -> None:
    harness.services = replace(harness.services, deliveries=Unreachable(harness.clock))
    with pytest.raises(ConnectionError):
        await repair(harness.services)
    assert "heartbeat" not in harness.collector.points()


class Unreachable(MemoryQueue):
    async def depth(self) -> int:
        raise ConnectionError


# --- lines of polls


@pytest.mark.parametrize(
    ("sampler", "shown"),
    [(ALWAYS_ON, [1, 2, 3, 4, 5, 6, 7, 8, 9]), (ALWAYS_OFF, [1, 4, 6, 7, 9])],
)
async def test_poll_without_a_change_has_the_line_of_its_span(
    sampler: Sampler, shown: list[int]
) -> None:
    """The lines of polls whose spans are left out are those that show something new."""
    with collecting(sampler) as collector:
        harness = ReportingHarness(collector)
        running, updating = status("InProgress"), status("Updating")
        harness.arm_answers = [running, running, running, updating, updating]
        harness.arm_answers += [coded(429), updating, updating, status("Succeeded")]
        await harness.register()
        await harness.settle()
        lines = [event.fields["seq"] for event in collector.events if event.name == "opswatch.poll"]
        assert lines == shown
        assert sum(value for value, _ in collector.points()["polls"]) == 9
        assert len(collector.spans("poll")) == (9 if sampler is ALWAYS_ON else 0)


async def test_waits_have_lines_only_if_their_spans_are_kept() -> None:
    """A poll that ARM's budget postpones, and a delivery to a host that is paused."""
    names = {"opswatch.poll_deferred", "opswatch.delivery_deferred"}
    for sampler, shown in ((ALWAYS_ON, names), (ALWAYS_OFF, set[str]())):
        with collecting(sampler) as collector:
            for scenario in (failing_host, postponed_and_slow):
                await scenario(ReportingHarness(collector))
            assert names & {event.name for event in collector.events} == shown


# --- traces


async def test_spans_are_linked_along_the_chain(harness: ReportingHarness) -> None:
    harness.arm_answers = [status("InProgress"), status("Succeeded")]
    harness.receiver_answers = [HttpResponse(500, {}), HttpResponse(204, {})]
    await harness.register(HOOK)
    await harness.settle()
    spans = harness.collector.spans()
    names = ("register", "poll", "poll", "attempt", "attempt")
    assert [span.name for span in spans] == [f"opswatch.{name}" for name in names]
    assert [span.parent for span in spans] == [None] * 5  # hours may lie between them
    contexts = [context_of(span) for span in spans]
    assert len({context.trace_id for context in contexts}) == 5
    links = [[link.context.span_id for link in span.links] for span in spans]
    assert links == [[], *([context.span_id] for context in contexts[:-1])]


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


async def test_early_message_keeps_its_link(harness: ReportingHarness) -> None:
    harness.arm_answers = [status("InProgress")]
    traceparent = f"00-{1:032x}-{2:016x}-01"
    await harness.register()
    harness.operations.messages.clear()
    wake = WakeUp(key=KEY, seq=3, due_at=harness.now, traceparent=traceparent)
    spans = harness.collector.spans("poll")
    await poll(harness.services, wake)
    assert harness.wake_ups(harness.operations) == [wake]
    assert harness.collector.spans("poll") == spans


async def test_receiver_gets_the_trace_of_its_attempt(harness: ReportingHarness) -> None:
    await harness.register(HOOK)
    await harness.settle()
    (span,) = harness.collector.spans("attempt")
    context = context_of(span)
    (request,) = harness.callbacks.requests
    trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
    assert request.headers["traceparent"].startswith(f"00-{trace_id}-{span_id}-")


async def test_deferred_delivery_keeps_its_links(harness: ReportingHarness) -> None:
    await failing_host(harness)
    spans = harness.collector.spans("attempt")
    decisions = [(span.attributes or {})["decision"] for span in spans]
    assert decisions.count("wait") > 0
    assert len(decisions) - decisions.count("wait") == len(harness.callbacks.requests)
    linked = {link.context.span_id for span in spans for link in span.links}
    assert linked <= {context_of(span).span_id for span in harness.collector.spans()}
    # A wake-up of the look-ahead has no link: only short waits are linked.
    assert {len(span.links) for span in spans} == {0, 1}


async def test_failing_poll_is_a_failed_span(harness: ReportingHarness) -> None:
    def answer(_: str) -> Answer:
        raise ConnectionError

    harness.arm_answers = [status("InProgress")]
    await harness.register()
    with pytest.raises(ConnectionError):
        await poll(replace(harness.services, arm=MemoryArm(answer)), WakeUp(key=KEY, seq=2))
    *_, span = harness.collector.spans("poll")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
