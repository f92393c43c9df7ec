"""Some runs of the simulation, and that it finds seeded bugs."""

import pytest

from tests.simulation.history import report
from tests.simulation.mutants import MUTANTS, SOON_FOUND, is_found
from tests.simulation.purging import PurgedRun
from tests.simulation.seeds import failing_seeds, run_seed

RUNS = 1200
SOON = 120  # seeds, within which most mutants are found; `make mutants` looks for all


@pytest.mark.parametrize("part", range(4))
def test_invariants_hold_under_faults(part: int) -> None:
    share = RUNS // 4
    for seed in failing_seeds(range(part * share, (part + 1) * share)):
        pytest.fail(f"{report(run_seed(seed))}\nrerun: python -m tests.simulation --seed {seed}")


@pytest.mark.parametrize("name", SOON_FOUND)
def test_mutant_is_found(name: str) -> None:
    assert is_found(MUTANTS[name], SOON) is not None
    assert not run_seed(0).scheduler.violations, "the original is not back"


def test_seed_runs_the_same_each_time() -> None:
    first, second = run_seed(24), run_seed(24)
    assert report(first) == report(second)


def test_most_runs_have_faults_and_half_a_repair() -> None:
    runs = [run_seed(seed) for seed in range(200)]
    ordinary = [run for run in runs if not isinstance(run, PurgedRun)]
    assert sum(run.faults.injected > 0 for run in ordinary) > len(ordinary) / 2
    assert 0.3 < sum(run.is_repaired for run in ordinary) / len(ordinary) < 0.7
    assert len(runs) - len(ordinary) == 25
