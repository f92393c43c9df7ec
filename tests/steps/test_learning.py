"""What polls learn from ends, what they show of it, and polls postponed for ARM's budget."""

import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.http import HttpResponse
from opswatch.core.keys import Key
from opswatch.core.kinds import Sample
from opswatch.core.watches import add_callback
from opswatch.rows.messages import decode_message
from opswatch.steps import control
from opswatch.steps.poll import poll
from opswatch.testing import MemoryBudget, MemoryDurations
from tests.support.harness import (
    HOOK,
    KEY,
    OTHER,
    POLICY,
    START,
    Harness,
    InterruptedStepError,
    ended,
    make_services,
    running,
)

KIND = Key("microsoft.cache", "~operationsstatus")


class LearningHarness(Harness):
    """The app over fakes, with what it learns and its budget at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.durations, self.budget = MemoryDurations(POLICY), MemoryBudget()
        services = self.services
        self.services = make_services(
            store=services.store,
            operations=services.operations,
            deliveries=services.deliveries,
            poison=services.poison,
            arm=services.arm,
            callbacks=services.callbacks,
            budget=self.budget,
            durations=self.durations,
            clock=self.clock,
            policy=POLICY,
        )

    def learn(self, *durations: float) -> None:
        """Learn that operations of this one's kind have taken so long."""
        for seconds in durations:
            self.durations.add(
                Sample(kind=KIND, low=seconds, high=seconds, status="Succeeded", at=START)
            )
        self.durations.samples.clear()

    async def interrupted_poll(self, cut_after: int) -> None:
        """Poll by the next message, which stays in the queue, up to so many effects."""
        (message,) = self.operations.receive(timedelta(seconds=10))
        wakes = decode_message(message.body)
        assert isinstance(wakes, tuple)
        (wake,) = wakes
        self.effects.names.clear()
        self.effects.cut_after = cut_after
        with pytest.raises(InterruptedStepError):
            await poll(self.services, wake)
        self.effects.cut_after = None


@pytest.fixture
def harness() -> LearningHarness:
    return LearningHarness()


# --- learning


async def test_end_is_learned_once(harness: LearningHarness) -> None:
    await harness.watched(HOOK)
    harness.advance(seconds=90)
    harness.status = ended()
    await harness.pump()
    (sample,) = harness.durations.samples
    assert sample.kind == KIND
    assert (sample.low, sample.high, sample.status) == (0, 90, "Succeeded")
    harness.post(OTHER)
    await harness.settle()
    assert len(harness.durations.samples) == 1


@pytest.mark.parametrize("cut_after", range(1, 8))
async def test_interrupted_finish_is_learned_at_most_once(
    harness: LearningHarness, cut_after: int
) -> None:
    await harness.watched(HOOK)
    harness.advance(seconds=90)
    harness.status = ended()
    await harness.interrupted_poll(cut_after)
    harness.advance(seconds=11)
    await harness.settle()
    assert harness.result.end.status == "Succeeded"
    is_lost = "results.insert" in harness.effects.names[:cut_after][-1:]
    assert len(harness.durations.samples) == (0 if is_lost else 1)


async def test_stop_and_later_rounds_teach_nothing(harness: LearningHarness) -> None:
    await harness.watched()
    await control.stop(harness.services, KEY)
    await harness.settle()
    harness.post(again=True)
    await harness.pump()
    harness.status = ended()
    await harness.settle()
    assert harness.result.end.status == "Succeeded"
    assert harness.result.facts.round == 2
    assert harness.durations.samples == []


async def test_kind_of_the_post_is_learned(harness: LearningHarness) -> None:
    harness.post(kind="RedisEnterprise/Create")
    await harness.pump()
    harness.status = ended()
    await harness.settle()
    (sample,) = harness.durations.samples
    assert sample.kind.row == "redisenterprise~create"


# --- what was learned


async def test_learned_kind_is_polled_near_its_end(harness: LearningHarness) -> None:
    harness.learn(*[600.0] * 50)
    await harness.watched()
    assert harness.watch.due_at - harness.now > timedelta(seconds=50)
    assert len(harness.arm.asked) == 1  # at once


async def test_posted_start_delays_the_first_poll(harness: LearningHarness) -> None:
    harness.learn(*[600.0] * 50)
    harness.post(startTime="2026-11-23T02:59:58Z")
    await harness.pump()
    due_at = harness.watch.due_at
    assert due_at > START + timedelta(seconds=50)
    assert harness.watch.far
    harness.post(startTime="2026-11-23T02:59:58Z")
    await harness.pump_all()
    assert harness.watch.due_at == due_at
    assert harness.arm.asked == []
    harness.status = ended()
    await harness.settle()
    assert len(harness.arm.asked) == 1
    assert harness.result.facts.last_polled_at == due_at


async def test_running_watch_shows_its_expected_end(harness: LearningHarness) -> None:
    harness.learn(*[600.0] * 50)
    await harness.watched()
    columns = harness.rows()["watches"][KEY]
    earliest, expected, latest = (
        columns[f"expectedEnd{name}At"] for name in ("Earliest", "", "Latest")
    )
    assert START < earliest < expected < latest
    assert abs(expected - START - timedelta(seconds=600)) < timedelta(seconds=60)
    assert columns["slow"] is False


async def test_slow_operation_is_reported_once(
    harness: LearningHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "opswatch")
    harness.learn(*[60.0] * 50)
    await harness.watched()
    for _ in range(8):
        harness.advance(minutes=5)
        await harness.pump()
    assert harness.watch.slow is True
    events = [
        record for record in caplog.records if getattr(record, "event", "") == "opswatch.slow"
    ]
    assert len(events) == 1
    assert getattr(events[0], "key", "") == str(KEY)


async def test_unknown_kind_shows_nothing(harness: LearningHarness) -> None:
    await harness.watched()
    columns = harness.rows()["watches"][KEY]
    assert not {name for name in columns if name.startswith("expected")} | {"slow"} & set(columns)


# --- the budget


@pytest.mark.parametrize(("delay", "is_far"), [(10, False), (40, True)])
async def test_poll_beyond_the_budget_is_postponed(
    harness: LearningHarness, delay: int, *, is_far: bool
) -> None:
    harness.post(HOOK)
    harness.budget.next_delay = timedelta(seconds=delay)
    await harness.pump()
    watch = harness.watch
    assert harness.arm.asked == []
    assert (watch.seq, watch.facts.polls) == (2, 0)
    assert watch.due_at == START + timedelta(seconds=delay)
    assert watch.postponed_since == START
    assert watch.far is is_far
    assert harness.seqs(harness.operations) == ([] if is_far else [2])
    harness.budget.next_delay = timedelta(0)
    harness.status = ended()
    await harness.settle()
    assert harness.result.facts.last_polled_at == watch.due_at


async def test_postponed_poll_is_made_later(harness: LearningHarness) -> None:
    harness.budget.next_delay = timedelta(seconds=40)
    harness.post(HOOK)
    await harness.pump()
    await harness.pump()
    harness.advance(seconds=40)
    harness.budget.next_delay = timedelta(0)
    harness.status = ended()
    await harness.settle()
    assert len(harness.arm.asked) == 1
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK]


async def test_postponement_counts_from_the_first(harness: LearningHarness) -> None:
    harness.budget.next_delay = timedelta(seconds=40)
    harness.post()
    for _ in range(3):
        await harness.pump_all()
        harness.advance(seconds=40)
    assert (harness.watch.seq, harness.watch.postponed_since) == (4, START)
    harness.budget.next_delay = timedelta(0)
    await harness.pump_all()
    assert harness.watch.postponed_since is None


async def test_last_poll_ignores_the_budget(harness: LearningHarness) -> None:
    await harness.watched()
    harness.budget.next_delay = timedelta(hours=1)
    await harness.settle()
    assert harness.result.end.status == "TimedOut"
    assert harness.result.end.finished_at == harness.result.facts.deadline_at


async def test_postponement_leaves_the_miss_grace(harness: LearningHarness) -> None:
    harness.status = HttpResponse(404, {})
    await harness.watched()
    grace = POLICY.miss_grace
    harness.now = harness.watch.due_at
    harness.budget.next_delay = grace * 2
    await harness.pump_all()
    harness.advance(seconds=grace.total_seconds() * 2)
    harness.budget.next_delay = timedelta(0)
    await harness.pump_all()
    assert harness.watch.facts.misses == 2
    harness.advance(seconds=grace.total_seconds())
    await harness.settle()
    assert harness.result.end.status == "Lost"


async def test_receiver_joins_while_a_poll_is_postponed(harness: LearningHarness) -> None:
    await harness.watched(HOOK)
    harness.now = harness.watch.due_at
    harness.budget.next_delay = timedelta(seconds=10)

    async def joins() -> None:
        row = await harness.store.watches.get(KEY)
        assert row is not None
        facts = add_callback(row.value.facts, OTHER, None)
        await harness.store.watches.replace(replace(row.value, facts=facts), row.etag)

    harness.effects.before["watches.merge"] = joins
    await harness.pump()
    assert harness.watch.facts.callbacks == (HOOK, OTHER)
    assert (harness.watch.seq, harness.seqs(harness.operations)) == (3, [3])


async def test_stop_wins_over_a_postponement(harness: LearningHarness) -> None:
    await harness.watched()
    harness.now = harness.watch.due_at
    harness.budget.next_delay = timedelta(seconds=10)

    async def stop() -> None:
        await control.stop(harness.services, KEY)

    harness.effects.before["watches.merge"] = stop
    await harness.pump()
    assert harness.result.end.status == "Stopped"
    assert not harness.store.watches.rows
    harness.budget.next_delay = timedelta(0)
    await harness.settle()  # the wake-up that was sent finds nothing
    assert len(harness.arm.asked) == 1


@pytest.mark.parametrize("delay", [10, 40])
@pytest.mark.parametrize("cut_after", [1, 2])
async def test_interrupted_postponement_leaves_a_wake_up(
    harness: LearningHarness, cut_after: int, delay: int
) -> None:
    await harness.watched()
    harness.now = harness.watch.due_at
    harness.budget.next_delay = timedelta(seconds=delay)
    await harness.interrupted_poll(cut_after)
    harness.budget.next_delay = timedelta(0)
    harness.status = ended()
    await harness.settle()
    assert harness.result.end.status == "Succeeded"


async def test_answers_reach_the_budget(harness: LearningHarness) -> None:
    body = json.dumps({"error": {"code": "TooManyRequests"}}).encode()
    harness.status = HttpResponse(429, {"retry-after": "7"}, body)
    await harness.watched()
    harness.status = running()
    harness.advance(seconds=60)
    await harness.pump()
    seen = [observation for _, observation in harness.budget.recorded]
    assert [type(observation).__name__ for observation in seen] == ["Missed", "Running"]
