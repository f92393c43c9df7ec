"""Telemetry behind its port: OpenTelemetry and its twins; and what storage tells to the timer."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.trace import SpanContext

from opswatch.adapters.account import Account
from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.adapters.storage import (
    AzurePoisonQueue,
    AzureQueue,
    AzureTable,
    create_missing,
)
from opswatch.adapters.telemetry import OpenTelemetry
from opswatch.config import Storage
from opswatch.core.intake import Registration
from opswatch.core.keys import Key, WakeUp, operation_from_url
from opswatch.core.metrics import LAG, METRICS, POISON_DEPTH, POLLS
from opswatch.core.policy import Policy
from opswatch.core.watches import Watch, begin, reschedule_overdue
from opswatch.local.azurite import Azurite
from opswatch.ports import PoisonQueue, Queue, Table, Telemetry
from opswatch.rows.tables import WATCHES
from opswatch.testing import MemoryPoisonQueue, MemoryQueue, MemoryTable, MemoryTelemetry
from tests.support.collector import Collector, collecting
from tests.support.harness import ENDPOINT, status_path, wake_up_message

ROOT = Path(__file__).parents[2]
TRACEPARENT = f"00-{0xABC:032x}-{0xDEF:016x}-01"
NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collected:
        yield collected


@pytest.fixture(params=["OpenTelemetry", "memory", "none"])
def telemetry(request: pytest.FixtureRequest, collector: Collector) -> Telemetry:
    twins: dict[str, Telemetry] = {
        "OpenTelemetry": collector.telemetry,
        "memory": MemoryTelemetry(),
        "none": NoTelemetry(),
    }
    return twins[request.param]


# --- each of them


def test_whatever_is_told_is_taken(telemetry: Telemetry) -> None:
    telemetry.note(decision="wait")
    for metric in METRICS:
        telemetry.measure(metric, 1, queue="operations")
    with telemetry.span("opswatch.poll", TRACEPARENT, key="k", seq=1):
        telemetry.note(decision="wait", status_code="200")


def test_there_is_no_trace_outside_of_a_span(telemetry: Telemetry) -> None:
    assert telemetry.traceparent() is None
    with telemetry.span("opswatch.poll"):
        pass
    assert telemetry.traceparent() is None


def test_a_span_passes_on_what_the_block_raises(telemetry: Telemetry) -> None:
    with pytest.raises(KeyError), telemetry.span("opswatch.poll"):
        raise KeyError
    assert telemetry.traceparent() is None


@pytest.mark.parametrize("link", ["", "00", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_link_that_leads_nowhere_is_left_out(collector: Collector, link: str) -> None:
    with collector.telemetry.span("opswatch.poll", link):
        pass
    (span,) = collector.spans()
    assert span.links == ()


def test_each_span_has_a_trace_to_link_to(collector: Collector) -> None:
    for twin in (collector.telemetry, MemoryTelemetry()):
        with twin.span("opswatch.poll"):
            first = twin.traceparent()
        with twin.span("opswatch.poll", first):
            second = twin.traceparent()
        assert first is not None
        assert second is not None
        assert first != second


# --- OpenTelemetry


def test_a_link_is_no_parent(collector: Collector) -> None:
    with collector.telemetry.span("opswatch.poll", TRACEPARENT, key="k", seq=3):
        collector.telemetry.note(decision="wait")
    (span,) = collector.spans()
    assert span.parent is None
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (0xABC, 0xDEF)
    ]
    assert dict(span.attributes or {}) == {"key": "k", "seq": 3, "decision": "wait"}


def test_a_span_is_a_child_of_the_hosts(collector: Collector) -> None:
    """The worker makes the host's invocation the current span."""
    with collector.telemetry.span("invocation"), collector.telemetry.span("opswatch.poll"):
        pass
    poll, invocation = collector.spans()
    parent = poll.parent
    assert isinstance(parent, SpanContext)
    assert parent == invocation.get_span_context()


def test_counts_add_up_and_times_spread(collector: Collector) -> None:
    for decision in ("wait", "wait", "finish"):
        collector.telemetry.measure(POLLS, 1, decision=decision)
    collector.telemetry.measure(LAG, 2.5)
    collector.telemetry.measure(LAG, 4)
    points = collector.points()
    assert points["polls"] == [(2, {"decision": "wait"}), (1, {"decision": "finish"})]
    assert points["lag"] == [(6.5, {})]


def test_a_gauge_tells_its_latest_value_once(collector: Collector) -> None:
    """An instance where the timer no longer runs must not repeat what it saw then."""
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


def test_nothing_is_told_where_nothing_happens() -> None:
    """Azure Monitor reads deltas; the alert on the heartbeat counts on silence being silent."""
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader(preferred_temporality={Counter: delta, Histogram: delta})
    meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    telemetry = OpenTelemetry(meters)
    for metric in METRICS:
        telemetry.measure(metric, 1)
    assert reader.get_metrics_data() is not None
    assert reader.get_metrics_data() is None
    meters.shutdown()


def test_without_a_provider_nothing_is_traced() -> None:
    telemetry = OpenTelemetry()
    with telemetry.span("opswatch.poll", TRACEPARENT):
        telemetry.note(decision="wait")
        assert telemetry.traceparent() is None
    for metric in METRICS:
        telemetry.measure(metric, 1)


# --- what it costs


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_function_app_is_imported_without_telemetry() -> None:
    code = """
import function_app, json, sys
print(json.dumps([m for m in sys.modules if m.startswith(("opentelemetry", "azure.monitor"))]))
"""
    assert json.loads(run(code)) == []


def test_only_the_api_is_imported_where_telemetry_is_off() -> None:
    code = """
import sys
from opswatch.bootstrap import _telemetry
assert type(_telemetry()).__name__ == "OpenTelemetry"
print([m for m in sys.modules if m.startswith(("opentelemetry.sdk", "azure.monitor"))])
"""
    assert run(code) == "[]"


def test_absent_packages_are_looked_for_once_and_cost_nothing_then() -> None:
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


def test_a_process_has_one_telemetry_however_often_its_world_is_opened() -> None:
    """The SDK drops the callbacks of whoever makes a gauge a second time."""
    code = """
from opswatch.bootstrap import _telemetry
print(_telemetry() is _telemetry())
"""
    assert run(code) == "True"


# --- what storage tells to the timer


@pytest.fixture
async def account(azurite: Azurite) -> AsyncIterator[Account]:
    connection = {"AzureWebJobsStorage": azurite.connection_string}
    account = Account(Storage.from_env(connection))
    yield account
    await account.close()


@pytest.fixture(params=["memory", "azure"])
async def queue(request: pytest.FixtureRequest, account: Account) -> Queue:
    if request.param == "memory":
        return MemoryQueue(lambda: NOW)
    name = f"depth-{token_hex(4)}"
    await create_missing(account, [name], [])
    return AzureQueue(account, name)


async def test_waiting_messages_are_counted_too(queue: Queue) -> None:
    assert await queue.depth() == 0
    await queue.send(wake_up_message(WakeUp(Key("p", "r"), 1)))
    await queue.send(wake_up_message(WakeUp(Key("p", "r"), 2)), timedelta(hours=1))
    assert await queue.depth() == 2


async def test_a_poison_queue_that_is_not_there_is_empty(account: Account) -> None:
    missing: PoisonQueue = AzurePoisonQueue(account, f"poison-{token_hex(4)}")
    assert await missing.depth() == 0


async def test_poisoned_messages_are_counted_while_they_are_hidden(account: Account) -> None:
    name, memory = f"poison-{token_hex(4)}", MemoryQueue(lambda: NOW)
    await create_missing(account, [name], [])
    await account.queue(name).send_message("one")
    memory.post(b"one")
    queues: tuple[PoisonQueue, ...] = (AzurePoisonQueue(account, name), MemoryPoisonQueue(memory))
    for queue in queues:
        assert len(await queue.take()) == 1
        assert await queue.take() == []
        assert await queue.depth() == 1


@pytest.fixture(params=["memory", "azure"])
async def watches(request: pytest.FixtureRequest, account: Account) -> Table[Watch]:
    if request.param == "memory":
        return MemoryTable(WATCHES)
    name = f"watches{token_hex(4)}"
    await create_missing(account, [], [name])
    return AzureTable(account, WATCHES, name)


async def test_due_times_are_those_before_any_repair(watches: Table[Watch]) -> None:
    assert [due async for due in watches.iter_due_at()] == []
    for number in range(3):
        operation = operation_from_url(f"{ENDPOINT}{status_path(str(number))}?api-version=1")
        watch = begin(Registration(operation=operation), NOW + number * timedelta(1), Policy())
        await watches.insert(
            watch if number else reschedule_overdue(watch, NOW + timedelta(hours=9))
        )
    iter_due_at = [due async for due in watches.iter_due_at()]
    assert sorted(iter_due_at) == [NOW + number * timedelta(1) for number in range(3)]
    assert {type(due) for due in iter_due_at} == {datetime}
