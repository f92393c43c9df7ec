"""`python -m tests.simulation --runs N --seed S [--jobs J]`: play N seeds from S on."""

import argparse
import sys
import time
from itertools import islice

from tests.simulation.play import failing, play
from tests.simulation.telling import told

_MOST = 5  # failing seeds, after which no more are looked for


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how many seeds to play")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="on how many cores")
    asked = parser.parse_args()
    if asked.runs == 1:
        return _tell(asked.seed)
    began = time.monotonic()
    seeds = range(asked.seed, asked.seed + asked.runs)
    found = list(islice(failing(seeds, asked.jobs), _MOST))
    seconds = time.monotonic() - began
    for seed in found[:1]:
        _tell(seed)
    for seed in found:
        sys.stdout.write(f"broken; rerun with: python -m tests.simulation --seed {seed}" + "\n")
    if not found:
        sys.stdout.write(
            f"{asked.runs} runs from seed {asked.seed} in {seconds:.0f} s: nothing broken" + "\n"
        )
    return bool(found)


def _tell(seed: int) -> int:
    run = play(seed)
    sys.stdout.write(told(run) + "\n")
    return bool(run.clockwork.violations)


if __name__ == "__main__":
    sys.exit(main())
