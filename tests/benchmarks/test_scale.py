"""The model of scaling and costs: its parts, its targets, and the pages that are made of it."""

from collections import Counter
from typing import Any

import pytest

from benchmarks.scaling import report, rules
from benchmarks.scaling.host import Done, Function, Instance, MessageQueue, Timeline
from benchmarks.scaling.model import EMPTY, operations_a_day, waiting
from benchmarks.scaling.prices import (
    ALERT_OFTEN,
    ALERT_RARELY,
    ALERTS,
    EXECUTIONS,
    GB_SECONDS,
    MONTH,
    Month,
)
from benchmarks.scaling.rules import MESSAGE_PER_WATCH
from tests.support.trigger import ROOT


class Pumped:
    """A function whose executions take so many seconds each."""

    def __init__(self, seconds: float) -> None:
        self.timeline, self.requests = Timeline(), Counter[str]()
        self.ran_at: list[float] = []
        self.function = Function(self.timeline, self.requests, self._run)
        self._seconds = seconds

    def _run(self, _: Instance, __: Any, done: Done) -> None:
        self.ran_at.append(self.timeline.now)
        self.timeline.at(self.timeline.now + self._seconds, done)


def test_events_happen_in_order_of_time_then_of_planning() -> None:
    timeline, seen = Timeline(), list[tuple[float, str]]()

    def note(name: str) -> None:
        seen.append((timeline.now, name))
        if name == "first":
            timeline.at(timeline.now, note, "last")

    for when, name in ((2.0, "late"), (1.0, "first"), (1.0, "second"), (9.0, "never")):
        timeline.at(when, note, name)
    timeline.run(5.0)
    assert seen == [(1.0, "first"), (1.0, "second"), (1.0, "last"), (2.0, "late")]
    assert timeline.now == 5.0


def test_queue_hides_messages_for_whole_seconds_and_counts_them() -> None:
    timeline = Timeline()
    queue = MessageQueue(timeline)
    queue.send("soon", 1.2)
    for _ in range(40):
        queue.send("now", 0)
    assert (queue.receive(), len(queue)) == (["now"] * 32, 41)
    queue.delete()
    assert len(queue) == 40
    timeline.run(1.9)
    assert queue.receive() == ["now"] * 8
    timeline.run(2.0)
    assert queue.has_visible()
    assert queue.receive() == ["soon"]


@pytest.mark.parametrize(
    ("visible", "hidden", "instances"), [(0, 1000, 0), (1, 0, 1), (1, 1000, 4), (1, 20_000, 40)]
)
def test_scaler_counts_hidden_messages_if_any_is_visible(
    visible: int, hidden: int, instances: int
) -> None:
    pumped = Pumped(1.0)
    for delay in [0] * visible + [3600] * hidden:
        pumped.function.queue.send("x", delay)
    pumped.timeline.run(rules.COLD_START)
    assert len(pumped.function.instances) == instances


def test_instance_without_work_goes() -> None:
    pumped = Pumped(1.0)
    pumped.function.queue.send("x", 0)
    pumped.timeline.run(rules.COLD_START + 1 + rules.IDLE - 1)
    assert len(pumped.function.instances) == 1
    pumped.timeline.run(rules.COLD_START + 1 + rules.IDLE + rules.SCALED_EACH)
    assert pumped.function.instances == []
    asked = pumped.requests["receive"]
    pumped.timeline.run(3600)
    assert pumped.requests["receive"] == asked, "an instance that is gone still receives"


@pytest.mark.parametrize(("seconds", "billed"), [(0.1, 1.0), (2.5, 2.5)])
def test_executions_at_the_same_time_are_billed_once(seconds: float, billed: float) -> None:
    pumped = Pumped(seconds)
    for _ in range(20):
        pumped.function.queue.send("x", 0)
    pumped.timeline.run(60)
    assert (len(pumped.ran_at), len(set(pumped.ran_at))) == (20, 1)
    assert pumped.function.billed(0.0) == pytest.approx(billed)
    assert pumped.requests["delete message"] == 20
    assert pumped.function.billed(59.0) == 0


def test_host_takes_so_many_messages_at_once() -> None:
    pumped = Pumped(10.0)
    for _ in range(400):  # for two instances
        pumped.function.queue.send("x", 0)
    pumped.timeline.run(rules.COLD_START + 5)
    assert sum(instance.in_flight for instance in pumped.function.instances) == 400
    assert max(instance.in_flight for instance in pumped.function.instances) <= 256


def test_free_shares_are_free() -> None:
    month = Month(gb_seconds=100_000, executions=250_000, requests={}, stored=0, logged=5)
    assert (month.running, month.telemetry) == (0, 0)
    assert GB_SECONDS.of(200_000) == pytest.approx(2.6)
    assert EXECUTIONS.of(1_250_000) == pytest.approx(0.4)
    capped = Month(gb_seconds=0, executions=0, requests={}, stored=0, logged=10_000)
    assert capped.telemetry == pytest.approx(333.5)


def test_empty_app_costs_its_timer_and_looks_at_its_queues() -> None:
    month = EMPTY.month
    assert (month.functions, EMPTY.instances) == (0, 0)
    assert 1 < month.running < 1.5
    assert month.executions == pytest.approx(MONTH / 60 + MONTH / 3600)
    rules = (ROOT / "infra/modules/alerts.bicep").read_text("utf-8")
    often, rarely = (rules.count(f"frequency: '{each}'") for each in ("PT5M", "PT15M"))
    assert (often, rarely) == (6, 4)
    assert ALERT_OFTEN.of(often) + ALERT_RARELY.of(rarely) == ALERTS


def test_ten_thousand_waiting_watches_meet_the_targets() -> None:
    usage = waiting(10_000, 60, seconds=60, warm_up=30)
    assert usage.instances <= 3
    total = usage.month.running + usage.month.telemetry
    assert total <= 70
    assert usage.late_p99 <= 5
    assert usage.messages <= 200
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"about ${5 * round(total / 5)} a month" in readme
    assert f"it is about ${EMPTY.month.running:.0f} (" in readme


def test_scaler_asks_for_one_instance_where_messages_asked_for_four() -> None:
    before = waiting(1000, 300, seconds=60, how=MESSAGE_PER_WATCH)
    now = waiting(1000, 300, seconds=60)
    assert (before.instances, now.instances) == (4, 1)
    assert now.month.running < before.month.running
    assert (before.messages >= 1000, now.messages < 60) == (True, True)


def test_learned_schedule_decides_about_operations_of_a_day() -> None:
    usage = operations_a_day(100_000, seconds=300)
    assert usage.ended * 24 * 3600 == pytest.approx(100_000, rel=0.15)
    assert usage.watches == pytest.approx(usage.ended * 490, rel=0.25)
    assert 5 < usage.polls / usage.ended < 15
    assert usage.lag < 20


def test_seed_decides_everything() -> None:
    one, same, other = (waiting(200, 10, seconds=30, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one.polls == pytest.approx(other.polls, rel=0.2)


def test_limits_are_reached_where_loads_say() -> None:
    usage = waiting(1000, 60)
    reads, partition, cpu, look, account, queue = report.limits(usage, 60)
    assert (reads, look) == (1500, 100_000)
    assert partition == pytest.approx(2000 / (1 / 60 + 1 / 5), rel=0.1)
    assert cpu is not None
    assert cpu == pytest.approx(60 * 0.25 / rules.CPU_POLL, rel=0.1)
    assert account is not None
    assert queue is not None
    assert 50_000 < account < queue
    near = report.limits(waiting(1000, 10, seconds=30), 10)
    assert near[3] is None, "near waits need no look"


@pytest.mark.parametrize("make", [report.price_table, report.cost_table])
def test_page_of_deployment_has_the_costs_of_the_model(make: Any) -> None:
    name = {"price_table": "prices", "cost_table": "costs"}[make.__name__]
    assert report.written(report.INFRA, name) == make()


def test_page_on_scaling_has_the_rows_of_the_model() -> None:
    cells = {(n, gap): report.compute(n, gap) for n in (100, 1_000) for gap in report.GAPS}
    rows = report.waiting_table(cells).splitlines()
    written = report.written(report.SCALING, "waiting").splitlines()
    assert written[: len(rows)] == rows
    assert len(written) == len(rows) + 2 * len(report.GAPS)
