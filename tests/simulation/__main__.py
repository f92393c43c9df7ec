"""`python -m tests.simulation --runs N --seed S [--jobs J]`: run N seeds, beginning with S.

With `--mutants`, look for every seeded bug within N seeds instead.
"""

import argparse
import sys
import time
from functools import partial
from itertools import islice
from multiprocessing import Pool

from tests.simulation.history import report
from tests.simulation.mutants import MUTANTS, find_mutant
from tests.simulation.seeds import failing_seeds, run_seed

_MOST = 5  # failing seeds, after which the search ends


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how many seeds to run")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="on how many cores")
    parser.add_argument("--mutants", action="store_true", help="look for the seeded bugs")
    asked = parser.parse_args()
    if asked.mutants:
        return _find_mutants(asked.runs, asked.jobs)
    if asked.runs == 1:
        run = run_seed(asked.seed)
        sys.stdout.write(report(run) + "\n")
        return bool(run.scheduler.violations)
    began = time.monotonic()
    seeds = range(asked.seed, asked.seed + asked.runs)
    found = []
    for seed in islice(failing_seeds(seeds, asked.jobs), _MOST):
        found.append(seed)
        sys.stdout.write(f"broken; rerun with: python -m tests.simulation --seed {seed}\n")
        sys.stdout.flush()
    seconds = time.monotonic() - began
    for seed in found[:1]:
        sys.stdout.write(report(run_seed(seed)) + "\n")
    if not found:
        sys.stdout.write(
            f"{asked.runs} runs from seed {asked.seed} in {seconds:.0f} s: nothing broken\n"
        )
    return bool(found)


def _find_mutants(seeds: int, jobs: int) -> int:
    """Print each seeded bug with the seed that shows it; return how many were not found."""
    missed = 0
    with Pool(jobs) as pool:
        looks = pool.imap_unordered(partial(find_mutant, seeds), MUTANTS)
        for name, seed in looks:
            sys.stdout.write(f"{'NOT FOUND' if seed is None else seed:>9}  {name}\n")
            missed += seed is None
    return missed


if __name__ == "__main__":
    sys.exit(main())
