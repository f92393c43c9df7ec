"""The benchmarks of the schedule and of the budget, held at what they must reach."""

import json
from pathlib import Path

import pytest

from benchmarks.schedule.__main__ import run
from benchmarks.schedule.evaluation import (
    calibrate,
    judge,
    judge_in_order,
    learned_poller,
    neighbouring_folds,
    random_folds,
)
from benchmarks.schedule.pollers import FIXED, Ages, fixed
from benchmarks.schedule.recordings import Recording, read_recordings, synthetic_recordings
from benchmarks.throttle import Simulation
from opswatch.core.policy import Policy
from tests.support.thorough import some

POLICY = Policy()
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "durations.csv"
SYNTHETIC = synthetic_recordings()


def relative_cost(recordings: list[Recording], folds: object) -> float:
    """Return the cost of the learned schedule, relative to azure-core's."""
    parts = list(folds(recordings))  # type: ignore[operator]
    base = FIXED["azure-core"]()
    learned = judge(parts, lambda known: learned_poller(known, POLICY), POLICY.poll_cost)
    return learned.cost / judge(parts, lambda _: lambda _: base, POLICY.poll_cost).cost


def test_ages_count_polls_and_lag() -> None:
    ages = Ages([1.0, 5.0, 20.0])
    assert ages.score(0.5) == (1, 0.5)
    assert ages.score(5.0) == (2, 0)
    assert ages.score(5.5) == (3, 14.5)


def test_azure_core_polls_at_once_and_every_30_s() -> None:
    ages = FIXED["azure-core"]()
    assert ages.score(0.25) == (1, 0.25)
    assert ages.score(61.0) == (4, 29.5)


def test_interval_stands_for_ten_durations() -> None:
    assert Recording("k", 10, 20).durations == tuple(10.5 + i for i in range(10))
    assert Recording("k", 10, 20, 12.5).durations == (12.5,)


def test_each_operation_is_held_out_once() -> None:
    recordings = SYNTHETIC[:200]
    for folds in (random_folds, neighbouring_folds):
        held_out = [r for _, out in folds(recordings) for r in out]
        assert sorted(held_out, key=id) == sorted(recordings, key=id)
        for learned, out in folds(recordings):
            assert len(learned) + len(out) == len(recordings)
            assert not {id(r) for r in learned} & {id(r) for r in out}


def test_fixed_interval_costs_what_arithmetic_says() -> None:
    ages = fixed(10, first=10)
    score = judge([([], [Recording("k", 0, 10)])], lambda _: lambda _: ages, 2.0)
    assert score.rounded() == {"polls": 1, "lag_mean": 5, "lag_p95": 9.5, "cost": 7}


def test_learned_schedule_beats_azure_core_on_made_up_operations() -> None:
    assert relative_cost(SYNTHETIC, random_folds) < 0.66
    assert relative_cost(SYNTHETIC, neighbouring_folds) < 0.68


def test_learning_from_nothing_beats_azure_core() -> None:
    everything, _, _ = judge_in_order(SYNTHETIC[:400], POLICY)
    base = FIXED["azure-core"]()
    fixed_one = judge([([], SYNTHETIC[:400])], lambda _: lambda _: base, POLICY.poll_cost)
    assert everything.cost / fixed_one.cost < 0.72


def test_ranges_are_calibrated() -> None:
    found = calibrate(random_folds(SYNTHETIC), POLICY)
    assert 0.75 <= found.covered <= 0.92
    assert found.slow <= 0.02
    assert found.shown > 500


def test_last_line_is_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    run([r for r in SYNTHETIC if r.kind.startswith("redis")], 2.0, picture)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"learned", "azure-core"} <= set(last)
    assert set(last["learned"]) == {"polls", "lag_mean", "lag_p95", "cost"}
    assert picture.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.skipif(not SHARED.exists(), reason="the recordings are not part of the project")
@pytest.mark.timeout(300)
def test_learned_schedule_reaches_its_figures_on_recordings() -> None:
    recordings = read_recordings(SHARED)
    parts = list(random_folds(recordings))
    base = FIXED["azure-core"]()
    score = judge(parts, lambda known: learned_poller(known, POLICY), POLICY.poll_cost)
    other = judge(parts, lambda _: lambda _: base, POLICY.poll_cost)
    assert score.cost / other.cost <= 0.62
    assert score.polls / other.polls <= 1
    assert score.lag_mean / other.lag_mean <= 0.42
    assert score.lag_p95 / other.lag_p95 <= 0.9
    assert relative_cost(recordings, neighbouring_folds) <= 0.64


# --- the budget


@pytest.mark.parametrize("processes", some([16, 1], of=2))
def test_gate_uses_the_budget_and_is_not_refused(processes: int) -> None:
    outcome = Simulation(5000, processes, has_gate=True, interval=None).run(600)
    assert outcome.refused <= 0.001
    assert outcome.reads >= 24
    assert outcome.lag <= 90


def test_without_the_gate_reads_are_refused() -> None:
    outcome = Simulation(5000, 1, has_gate=False, interval=None).run(60, warm_up=900)
    assert outcome.refused > 0.1
