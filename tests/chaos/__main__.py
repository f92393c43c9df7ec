"""`python -m tests.chaos`: the whole app, killed and starved all day; then the books must balance.

Several `opswatch dev` over one Azurite, a simulated ARM and receivers that fail now and then:
processes are killed, paused and drained, the storage stops and hangs, all of it from a seed.
"""

import argparse
import sys
from random import SystemRandom

from tests.chaos.conduct import conduct
from tests.chaos.play import Options, play

_PATIENCE = 300.0  # reconcile's grace and some of its rounds, whatever the machine is busy with


def main() -> int:
    options = _options()
    return conduct("chaos", options.seed, lambda folder: play(options, folder))


def _options() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--operations", type=int, default=300)
    parser.add_argument("--seed", type=int, help="of the stories and the disasters")
    parser.add_argument("--minutes", type=float, default=3, help="of storm; calm follows, up to 5")
    parser.add_argument("--apps", type=int, default=3, help="processes at once")
    asked = parser.parse_args()
    return Options(
        seed=SystemRandom().randrange(10**6) if asked.seed is None else asked.seed,
        operations=asked.operations,
        apps=asked.apps,
        storm=asked.minutes * 60,
        patience=_PATIENCE,
    )


if __name__ == "__main__":
    sys.exit(main())
