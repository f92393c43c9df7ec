"""Some runs of the simulation, and that it finds seeded bugs."""

import pytest

from tests.simulation.history import report
from tests.simulation.mutants import MUTANTS, Edit, mutated
from tests.simulation.seeds import failing_seeds, run_seed

RUNS = 3000
ENOUGH = 1500  # seeds, within which every mutant is found


@pytest.mark.parametrize("part", range(4))
def test_invariants_hold_under_faults(part: int) -> None:
    share = RUNS // 4
    for seed in failing_seeds(range(part * share, (part + 1) * share)):
        pytest.fail(f"{report(run_seed(seed))}\nrerun: python -m tests.simulation --seed {seed}")


@pytest.mark.parametrize("edits", MUTANTS.values(), ids=MUTANTS)
def test_mutant_is_found(edits: tuple[Edit, ...]) -> None:
    with mutated(edits):
        assert next(failing_seeds(range(ENOUGH)), None) is not None
    assert not run_seed(0).scheduler.violations, "the original is not back"


def test_seed_runs_the_same_each_time() -> None:
    first, second = run_seed(24), run_seed(24)
    assert report(first) == report(second)


def test_most_runs_have_faults_and_half_a_repair() -> None:
    runs = [run_seed(seed) for seed in range(200)]
    assert sum(run.faults.injected > 0 for run in runs) > 100
    assert 60 < sum(run.is_repaired for run in runs) < 140
