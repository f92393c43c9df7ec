"""Telemetry behind its port: OpenTelemetry, its fake, and none at all."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext

from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.adapters.telemetry import OpenTelemetry
from opswatch.core.metrics import LAG, METRICS, POISON_DEPTH, POLLS
from opswatch.ports import Telemetry
from opswatch.testing import MemoryTelemetry
from tests.support.collector import Collector, collecting

ROOT = Path(__file__).parents[2]
TRACEPARENT = f"00-{0xABC:032x}-{0xDEF:016x}-01"
NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collected:
        yield collected


@pytest.fixture(params=["OpenTelemetry", "memory", "none"])
def telemetry(request: pytest.FixtureRequest, collector: Collector) -> Telemetry:
    implementations: dict[str, Telemetry] = {
        "OpenTelemetry": collector.telemetry,
        "memory": MemoryTelemetry(),
        "none": NoTelemetry(),
    }
    return implementations[request.param]


# --- every implementation


def test_every_report_is_accepted(telemetry: Telemetry) -> None:
    telemetry.note(decision="wait")
    for metric in METRICS:
        telemetry.measure(metric, 1, queue="operations")
    with telemetry.span("opswatch.poll", TRACEPARENT, key="k", seq=1):
        telemetry.note(decision="wait", status_code="200")


def test_span_is_kept_unless_a_sampler_leaves_it_out(telemetry: Telemetry) -> None:
    assert telemetry.is_sampled()
    with telemetry.span("opswatch.poll"):
        assert telemetry.is_sampled()


def test_sampler_leaves_a_span_out() -> None:
    with collecting(ALWAYS_OFF) as collector:
        assert collector.telemetry.is_sampled()
        with collector.telemetry.span("opswatch.poll"):
            assert not collector.telemetry.is_sampled()


def test_outside_a_span_there_is_no_trace(telemetry: Telemetry) -> None:
    assert telemetry.traceparent() is None
    with telemetry.span("opswatch.poll"):
        pass
    assert telemetry.traceparent() is None


def test_span_passes_exceptions_on(telemetry: Telemetry) -> None:
    with pytest.raises(KeyError), telemetry.span("opswatch.poll"):
        raise KeyError
    assert telemetry.traceparent() is None


@pytest.mark.parametrize("link", ["", "00", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_invalid_link_is_left_out(collector: Collector, link: str) -> None:
    with collector.telemetry.span("opswatch.poll", link):
        pass
    (span,) = collector.spans()
    assert span.links == ()


def test_each_span_has_a_trace_to_link_to(collector: Collector) -> None:
    for telemetry in (collector.telemetry, MemoryTelemetry()):
        with telemetry.span("opswatch.poll"):
            first = telemetry.traceparent()
        with telemetry.span("opswatch.poll", first):
            second = telemetry.traceparent()
        assert first is not None
        assert second is not None
        assert first != second


# --- OpenTelemetry


def test_link_is_no_parent(collector: Collector) -> None:
    with collector.telemetry.span("opswatch.poll", TRACEPARENT, key="k", seq=3):
        collector.telemetry.note(decision="wait")
    (span,) = collector.spans()
    assert span.parent is None
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (0xABC, 0xDEF)
    ]
    assert dict(span.attributes or {}) == {"key": "k", "seq": 3, "decision": "wait"}


def test_span_is_a_child_of_the_hosts(collector: Collector) -> None:
    """The worker makes the host's invocation the current span."""
    with collector.telemetry.span("invocation"), collector.telemetry.span("opswatch.poll"):
        pass
    poll, invocation = collector.spans()
    parent = poll.parent
    assert isinstance(parent, SpanContext)
    assert parent == invocation.get_span_context()


def test_counters_and_histograms_add_up(collector: Collector) -> None:
    for decision in ("wait", "wait", "finish"):
        collector.telemetry.measure(POLLS, 1, decision=decision)
    collector.telemetry.measure(LAG, 2.5)
    collector.telemetry.measure(LAG, 4)
    points = collector.points()
    assert points["polls"] == [(2, {"decision": "wait"}), (1, {"decision": "finish"})]
    assert points["lag"] == [(6.5, {})]


def test_gauge_reports_its_latest_value_once(collector: Collector) -> None:
    """An instance on which the timer no longer runs must not repeat its old values."""
    for depth in (7, 3):
        collector.telemetry.measure(POISON_DEPTH, depth, queue="operations")
    collector.telemetry.measure(POISON_DEPTH, 1, queue="deliveries")
    assert sorted(collector.points()["poison.depth"]) == [
        (1, {"queue": "deliveries"}),
        (3, {"queue": "operations"}),
    ]
    assert "poison.depth" not in collector.points()
    collector.telemetry.measure(POISON_DEPTH, 0, queue="operations")
    assert collector.points()["poison.depth"] == [(0, {"queue": "operations"})]


def test_silence_exports_no_metric() -> None:
    """Azure Monitor reads deltas, and the alert on the heartbeat needs a gap if the timer stops."""
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader(preferred_temporality={Counter: delta, Histogram: delta})
    meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    telemetry = OpenTelemetry(meters)
    for metric in METRICS:
        telemetry.measure(metric, 1)
    assert reader.get_metrics_data() is not None
    assert reader.get_metrics_data() is None
    meters.shutdown()


def test_without_provider_spans_have_no_trace() -> None:
    telemetry = OpenTelemetry()
    with telemetry.span("opswatch.poll", TRACEPARENT):
        telemetry.note(decision="wait")
        assert telemetry.traceparent() is None
    for metric in METRICS:
        telemetry.measure(metric, 1)


# --- cost of imports


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_function_app_is_imported_without_telemetry() -> None:
    code = """
import function_app, json, sys
print(json.dumps([m for m in sys.modules if m.startswith(("opentelemetry", "azure.monitor"))]))
"""
    assert json.loads(run(code)) == []


def test_disabled_telemetry_imports_only_the_api() -> None:
    code = """
import sys
from opswatch.bootstrap import _telemetry
assert type(_telemetry()).__name__ == "NoTelemetry"
print([m for m in sys.modules if m.startswith(("opentelemetry.sdk", "azure.monitor"))])
"""
    assert run(code) == "[]"


def test_missing_packages_are_looked_for_once() -> None:
    code = """
import sys
class Absent:
    asked = 0
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry"):
            Absent.asked += 1
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from opswatch.bootstrap import _telemetry
from opswatch.core.metrics import POLLS
assert Absent.asked == 0
for _ in range(100):
    telemetry = _telemetry()
    with telemetry.span("opswatch.poll", seq=1):
        telemetry.note(decision="wait")
        telemetry.measure(POLLS, 1, decision="wait")
        assert telemetry.traceparent() is None
print(type(telemetry).__name__, Absent.asked)
"""
    assert run(code) == "NoTelemetry 1"


SPANS = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""
COUNTS = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
metrics.set_meter_provider(MeterProvider())
"""


@pytest.mark.parametrize("provider", [SPANS, COUNTS], ids=["spans", "metrics"])
def test_process_has_one_telemetry(provider: str) -> None:
    """The SDK ignores the callback of a gauge that is created a second time."""
    code = f"""
{provider}
from opswatch.bootstrap import _telemetry
print(_telemetry() is _telemetry(), type(_telemetry()).__name__)
"""
    assert run(code) == "True OpenTelemetry"
