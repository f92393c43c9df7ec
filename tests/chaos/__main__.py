"""`python -m tests.chaos`: the whole app under faults of every kind; then everything must add up.

Several `opswatch dev` over one Azurite, a simulated ARM and receivers that fail now and then:
processes are killed, paused and drained, the storage stops and hangs, all of it from a seed.
"""

import argparse
import sys
from random import SystemRandom

from tests.chaos.run import Options, run
from tests.chaos.runner import run_and_report

_PATIENCE = 300.0  # the repair's grace and some of its runs, on a busy machine


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--operations", type=int, default=300)
    parser.add_argument("--seed", type=int, help="of the workload and the faults")
    parser.add_argument("--minutes", type=float, default=3, help="of faults; then up to 5 without")
    parser.add_argument("--apps", type=int, default=3, help="processes at once")
    asked = parser.parse_args()
    options = Options(
        seed=SystemRandom().randrange(10**6) if asked.seed is None else asked.seed,
        operations=asked.operations,
        apps=asked.apps,
        seconds=asked.minutes * 60,
        patience=_PATIENCE,
    )
    return run_and_report("chaos", options.seed, lambda folder: run(options, folder))


if __name__ == "__main__":
    sys.exit(main())
