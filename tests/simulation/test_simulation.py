"""The simulation in small, and that it bites."""

import pytest

from tests.simulation.bugs import BUGS, Plant, planted
from tests.simulation.play import failing, play
from tests.simulation.telling import told

RUNS = 3000
ENOUGH = 1500  # seeds, within which every planted bug is found


@pytest.mark.parametrize("part", range(4))
def test_nothing_breaks_whatever_goes_wrong(part: int) -> None:
    share = RUNS // 4
    for seed in failing(range(part * share, (part + 1) * share)):
        pytest.fail(f"{told(play(seed))}\nrerun: python -m tests.simulation --seed {seed}")


@pytest.mark.parametrize("plants", BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_found(plants: tuple[Plant, ...]) -> None:
    with planted(plants):
        assert next(failing(range(ENOUGH)), None) is not None


def test_a_seed_plays_the_same_each_time() -> None:
    first, second = play(24), play(24)
    assert told(first) == told(second)


def test_faults_strike_in_most_runs_and_reconcile_runs_in_half() -> None:
    runs = [play(seed) for seed in range(200)]
    assert sum(run.faults.struck > 0 for run in runs) > 100
    assert 60 < sum(run.is_reconciled for run in runs) < 140
