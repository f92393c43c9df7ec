"""What the steps tell: metrics, events and spans, held to `infra/telemetry.json`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode, format_span_id, format_trace_id

from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import WakeUp, operation_from_url
from opswatch.core.metrics import METRICS
from opswatch.core.policy import Policy
from opswatch.ports import Services, Telemetry
from opswatch.steps.control import redeliver
from opswatch.steps.maintenance import OVERDUE_GRACE, purge, repair
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.poll import poll
from opswatch.steps.wakeups import read_wake_up
from opswatch.testing import (
    MemoryArm,
    MemoryCallbacks,
    MemoryPoisonQueue,
    MemoryQueue,
    MemoryStore,
    pump,
)
from tests.support.collector import Collector, collecting, points_of, told
from tests.support.harness import ENDPOINT, make_services, status_path

DECLARED = json.loads((Path(__file__).parents[2] / "infra/telemetry.json").read_text("utf-8"))
HOOK = "https://hooks.example.com/in?token=hushhush"
NEVER_TOLD = ("hushhush", "sig=", "callbackUrl", "whsec_")
POLICY = Policy(callback_schedule=(timedelta(0), timedelta(seconds=5), timedelta(minutes=5)))
MINUTE = timedelta(minutes=1)

Answer = HttpResponse | NoAnswer


def url_of(operation_id: str) -> str:
    return f"{ENDPOINT}{status_path(operation_id)}?api-version=1&t=1&sig=hushhush"


KEY = operation_from_url(url_of("1")).key


def status(word: str, **more: Any) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"status": word, **more}).encode())


def coded(status_code: int) -> HttpResponse:
    error = {"code": "TooMany", "message": f"too many for {url_of('1')}"}
    return HttpResponse(status_code, {}, json.dumps({"error": error}).encode())


@dataclass
class Harness:
    """A world whose outside answers in turn, each last answer again and again."""

    telemetry: Telemetry
    arm_answers: list[Answer] = field(default_factory=lambda: [status("Succeeded")])
    receiver_answers: list[Answer] = field(default_factory=lambda: [HttpResponse(204, {})])
    now: datetime = datetime(2026, 11, 23, 3, tzinfo=UTC)
    store: MemoryStore = field(default_factory=MemoryStore)
    requests: list[CallbackRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        def clock() -> datetime:
            return self.now

        self.operations, self.deliveries = MemoryQueue(clock), MemoryQueue(clock)
        self.poison = MemoryQueue(clock), MemoryQueue(clock)
        callbacks = MemoryCallbacks(lambda _: _next(self.receiver_answers), self.requests)
        self.services: Services = make_services(
            store=self.store,
            operations=self.operations,
            deliveries=self.deliveries,
            poison=tuple(MemoryPoisonQueue(queue) for queue in self.poison),
            arm=MemoryArm(lambda _: _next(self.arm_answers)),
            callbacks=callbacks,
            clock=clock,
            policy=POLICY,
            telemetry=self.telemetry,
        )

    def change(self, **ports: Any) -> None:
        self.services = replace(self.services, **ports)

    async def post(self, operation_id: str, **more: str) -> None:
        body = {"operation": url_of(operation_id), **more}
        await operations_message(self.services, json.dumps(body).encode())

    async def take_turns(self, most: int = 99) -> None:
        """Hand out messages, each when it is due, until there are none."""
        for _ in range(most):
            waiting = [*self.operations.messages.values(), *self.deliveries.messages.values()]
            if not waiting:
                break
            self.now = max(self.now, min(message.visible_at for message in waiting))
            await pump(self.operations, partial(operations_message, self.services))
            await pump(self.deliveries, partial(deliveries_message, self.services))


def _next(answers: list[Answer]) -> Answer:
    return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def told_to() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def harness(told_to: Collector) -> Harness:
    return Harness(told_to.telemetry)


# --- everything that can be told of, scene by scene


async def from_misses_to_a_failure_and_two_refusals(harness: Harness) -> None:
    ended_at = (harness.now + timedelta(seconds=2)).isoformat()
    harness.arm_answers = [
        status("InProgress"),
        coded(429),
        NoAnswer("timeout", "nothing came"),
        status("Failed", endTime=ended_at, error={"code": "Conflict", "message": "no"}),
    ]
    harness.receiver_answers = [
        HttpResponse(500, {}),
        NoAnswer("tls", f"bad: {HOOK}"),
        HttpResponse(410, {}),
    ]
    await harness.post("1", callbackUrl=HOOK, kind="redis/create")
    await harness.take_turns()
    harness.receiver_answers = [HttpResponse(204, {})]
    assert await redeliver(harness.services, KEY) == 1
    await harness.take_turns()


async def a_host_that_fails(harness: Harness) -> None:
    harness.receiver_answers = [HttpResponse(503, {})]
    for number in range(7):
        await harness.post("1", callbackUrl=f"{HOOK}&n={number}")
    await harness.take_turns()


async def messages_out_of_turn(harness: Harness) -> None:
    harness.arm_answers = [status("InProgress")]
    await harness.post("1")
    await poll(harness.services, WakeUp(KEY, 0))
    await poll(harness.services, WakeUp(KEY, 2))
    await poll(harness.services, WakeUp(operation_from_url(url_of("2")).key, 1))


async def somebody_is_quicker(harness: Harness) -> None:
    def answer(_: str) -> Answer:
        row, _version = harness.store.watches.rows[KEY]
        harness.store.watches.rows[KEY] = ({**row, "seq": 9}, "another's")
        return status("InProgress")

    await harness.post("1")
    await poll(replace(harness.services, arm=MemoryArm(answer)), WakeUp(KEY, 1))


async def the_timer_has_to_repair(harness: Harness) -> None:
    await harness.post("1")
    harness.poison[0].post(b"no operation at all")
    harness.poison[1].post(b'{"wake": {"partition": "p", "row": "r", "seq": 1}}')
    harness.now += timedelta(hours=1)
    await repair(harness.services)
    await purge(harness.services)


async def no_secret_to_sign_with(harness: Harness) -> None:
    await harness.post("1", callbackUrl=HOOK)
    harness.change(secrets=())
    await harness.take_turns(2)


SCENES = (
    from_misses_to_a_failure_and_two_refusals,
    a_host_that_fails,
    messages_out_of_turn,
    somebody_is_quicker,
    the_timer_has_to_repair,
    no_secret_to_sign_with,
)


@pytest.fixture
async def everything(told_to: Collector) -> Collector:
    for scene in SCENES:
        await scene(Harness(told_to.telemetry))
    return told_to


async def test_metrics_are_those_that_are_declared(everything: Collector) -> None:
    kinds = {Sum: "counter", Histogram: "histogram", Gauge: "gauge"}
    metrics = everything.metrics()
    assert {
        metric.name: {
            "kind": kinds[type(metric.data)],
            "unit": metric.unit,
            "dimensions": {name for point in points_of(metric) for name in told(point)[1]},
        }
        for metric in metrics
    } == {
        name: {**declared, "dimensions": set(declared["dimensions"])}
        for name, declared in DECLARED["metrics"].items()
    }
    assert {metric.name for metric in METRICS} == DECLARED["metrics"].keys()


async def test_events_are_those_that_are_declared(everything: Collector) -> None:
    fields: dict[str, set[str]] = {}
    for event in everything.events:
        fields.setdefault(event.name, set()).update(event.fields)
    declared = {name: set(fields) for name, fields in DECLARED["events"].items()}
    assert fields == declared
    assert all(event.text.startswith(event.name) for event in everything.events)


async def test_spans_are_those_that_are_declared(everything: Collector) -> None:
    attributes: dict[str, set[str]] = {}
    for span in everything.spans():
        attributes.setdefault(span.name, set()).update(span.attributes or {})
    assert attributes == {name: set(names) for name, names in DECLARED["spans"].items()}


async def test_values_are_those_that_are_declared(everything: Collector) -> None:
    seen: dict[str, set[str]] = {name: set() for name in DECLARED["values"]}
    for points in everything.points().values():
        for _, dimensions in points:
            for name in seen.keys() & dimensions.keys():
                seen[name].add(dimensions[name])
    for event in everything.events:
        for name in seen.keys() & event.fields.keys():
            seen[name].add(event.fields[name])
    assert seen == {name: set(values) for name, values in DECLARED["values"].items()}


async def test_nothing_tells_a_url_or_a_secret(everything: Collector) -> None:
    texts = [
        *(f"{event.text} {event.fields}" for event in everything.events),
        *(str(points) for points in everything.points().values()),
        *(span.to_json() for span in everything.spans()),
    ]
    assert len(texts) > 100
    assert [text for text in texts for secret in NEVER_TOLD if secret in text] == []


# --- what the numbers say


async def test_each_poll_and_each_miss_is_counted(harness: Harness, told_to: Collector) -> None:
    harness.arm_answers = [coded(403), coded(429), NoAnswer("dns", "none"), status("Succeeded")]
    await harness.post("1")
    await harness.take_turns()
    points = told_to.points()
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
async def test_lag_is_from_the_end_to_our_seeing_it(
    harness: Harness, told_to: Collector, seconds: int, lag: float
) -> None:
    end_time = (harness.now + timedelta(seconds=seconds)).isoformat()
    harness.arm_answers = [status("Succeeded", endTime=end_time)]
    await harness.post("1")
    await harness.take_turns()
    assert told_to.points()["lag"] == [(lag, {})]


async def test_no_lag_is_told_where_the_end_is_not_known(
    harness: Harness, told_to: Collector
) -> None:
    await harness.post("1")
    await harness.take_turns()
    assert "lag" not in told_to.points()
    assert told_to.event("finished")["status"] == "Succeeded"


async def test_a_reason_is_told_without_its_particulars(
    harness: Harness, told_to: Collector
) -> None:
    harness.receiver_answers = [NoAnswer("refused", f"10.0.0.7 is private: {HOOK}")]
    await harness.post("1", callbackUrl=HOOK)
    await harness.take_turns()
    assert told_to.points()["deliveries.settled"] == [
        (1, {"state": "abandoned", "reason": "refused"})
    ]
    reason = told_to.event("settled")["reason"]
    assert reason.startswith("refused: 10.0.0.7 is private")
    assert "hushhush" not in reason


async def test_the_timer_measures_what_waits(harness: Harness, told_to: Collector) -> None:
    harness.arm_answers = [status("InProgress")]
    for number in range(3):
        await harness.post(str(number))
    await harness.take_turns(1)
    await repair(harness.services)
    points = told_to.points()
    assert points["watches.active"] == [(3, {})]
    assert points["watches.oldest_overdue"] == [(0, {})]
    assert sorted(points["queue.depth"], key=str) == [
        (0, {"queue": "deliveries"}),
        (3, {"queue": "operations"}),
    ]
    assert points["heartbeat"] == [(1, {})]


async def test_a_watch_gets_later_however_often_it_is_woken(
    harness: Harness, told_to: Collector
) -> None:
    await harness.post("1")
    lateness = []
    for _ in range(10):
        harness.now += MINUTE
        await repair(harness.services)
        ((seconds, _),) = told_to.points()["watches.oldest_overdue"]
        lateness.append(seconds)
    assert lateness == [60.0 * minute for minute in range(1, 11)]
    assert harness.store.watches.values()[0].due_at > harness.now - OVERDUE_GRACE - MINUTE
    harness.arm_answers = [status("InProgress")]
    await harness.take_turns(1)
    await repair(harness.services)
    assert told_to.points()["watches.oldest_overdue"] == [(0, {})]


async def test_poison_is_measured_before_it_is_drained(
    harness: Harness, told_to: Collector
) -> None:
    for _ in range(3):
        harness.poison[0].post(b"no operation at all")
    await repair(harness.services)
    assert harness.poison[0].messages == {}
    assert sorted(told_to.points()["poison.depth"], key=str) == [
        (0, {"queue": "deliveries"}),
        (3, {"queue": "operations"}),
    ]


async def test_a_run_of_the_timer_that_is_cut_off_gives_no_beat(
    harness: Harness, told_to: Collector
) -> None:
    harness.change(deliveries=Unreachable())
    with pytest.raises(ConnectionError):
        await repair(harness.services)
    assert "heartbeat" not in told_to.points()


class Unreachable(MemoryQueue):
    def __init__(self) -> None:
        super().__init__(lambda: datetime(2026, 11, 23, tzinfo=UTC))

    async def depth(self) -> int:
        raise ConnectionError


# --- traces


async def test_spans_are_linked_from_the_registration_to_the_last_attempt(
    harness: Harness, told_to: Collector
) -> None:
    harness.arm_answers = [status("InProgress"), status("Succeeded")]
    harness.receiver_answers = [HttpResponse(500, {}), HttpResponse(204, {})]
    await harness.post("1", callbackUrl=HOOK)
    await harness.take_turns()
    spans = told_to.spans()
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


async def test_a_message_that_is_early_keeps_its_link(harness: Harness, told_to: Collector) -> None:
    harness.arm_answers = [status("InProgress")]
    traceparent = f"00-{1:032x}-{2:016x}-01"
    await harness.post("1")
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(KEY, 2, traceparent))
    (again,) = harness.operations.messages.values()
    assert read_wake_up(again.body) == WakeUp(KEY, 2, traceparent)
    assert told_to.spans("poll") == ()


async def test_a_receiver_gets_the_trace_of_its_attempt(
    harness: Harness, told_to: Collector
) -> None:
    await harness.post("1", callbackUrl=HOOK)
    await harness.take_turns()
    (span,) = told_to.spans("attempt")
    context = context_of(span)
    (request,) = harness.requests
    trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
    assert request.headers["traceparent"].startswith(f"00-{trace_id}-{span_id}-")


async def test_a_wait_for_a_host_is_no_attempt_and_keeps_the_chain(
    harness: Harness, told_to: Collector
) -> None:
    await a_host_that_fails(harness)
    spans = told_to.spans("attempt")
    decisions = [(span.attributes or {})["decision"] for span in spans]
    assert decisions.count("wait") > 0
    assert len(decisions) - decisions.count("wait") == len(harness.requests)
    linked = {link.context.span_id for span in spans for link in span.links}
    unlinked = [span for span in spans if context_of(span).span_id not in linked]
    assert len(unlinked) == 7  # the last of each delivery
    assert all(len(span.links) == 1 for span in spans)


async def test_a_poll_that_breaks_is_a_failed_span(harness: Harness, told_to: Collector) -> None:
    def answer(_: str) -> Answer:
        raise ConnectionError

    await harness.post("1")
    with pytest.raises(ConnectionError):
        await poll(replace(harness.services, arm=MemoryArm(answer)), WakeUp(KEY, 1))
    (span,) = told_to.spans("poll")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
