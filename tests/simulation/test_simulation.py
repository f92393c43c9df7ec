"""Some runs of the simulation, and that it finds seeded bugs."""

import pytest

from tests.simulation.history import report
from tests.simulation.mutants import MUTANTS, SOON_FOUND, is_found
from tests.simulation.purging import PurgedRun
from tests.simulation.seeds import run_seed

SHARE = 112  # seeds
SOON = 72  # seeds, within which most mutants are found; `make mutants` looks for all


@pytest.mark.parametrize("part", range(4))
def test_invariants_hold_under_faults(part: int) -> None:
    """Most runs have faults, about half of them a repair, and an eighth of them a purge."""
    runs = []
    for seed in range(part * SHARE, (part + 1) * SHARE):
        run = run_seed(seed)
        if run.scheduler.violations:
            pytest.fail(f"{report(run)}\nrerun: python -m tests.simulation --seed {seed}")
        if not isinstance(run, PurgedRun):
            runs.append((run.faults.injected > 0, run.is_repaired))
    assert len(runs) == SHARE * 7 // 8
    assert sum(has_faults for has_faults, _ in runs) > len(runs) / 2
    assert 0.3 < sum(is_repaired for _, is_repaired in runs) / len(runs) < 0.7


@pytest.mark.parametrize("name", SOON_FOUND)
def test_mutant_is_found(name: str) -> None:
    assert is_found(MUTANTS[name], SOON) is not None
    assert not run_seed(0).scheduler.violations, "the original is not back"


def test_seed_runs_the_same_each_time() -> None:
    first, second = run_seed(24), run_seed(24)
    assert report(first) == report(second)
