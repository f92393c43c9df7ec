"""`python -m tests.chaos`: the whole app, killed and starved all day; then the books must balance.

Several `opswatch dev` over one Azurite, a simulated ARM and receivers that fail now and then:
processes are killed, paused and drained, the storage stops and hangs, all of it from a seed.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

from tests.chaos.play import Options, Outcome, play

_PATIENCE = 300.0  # reconcile's grace and some of its rounds, whatever the machine is busy with
_MOST_TOLD = 40


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    folder = Path(tempfile.mkdtemp(prefix="opswatch-chaos-"))
    _say(f"seed {options.seed}; the apps speak in {folder}")
    began = time.monotonic()
    try:
        outcome = asyncio.run(play(options, folder))
    except KeyboardInterrupt:
        return 130
    _tell(outcome, time.monotonic() - began)
    if not outcome.problems:
        shutil.rmtree(folder)
    return bool(outcome.problems)


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


def _tell(outcome: Outcome, seconds: float) -> None:
    for line in [*outcome.figures, *(f"WRONG: {one}" for one in outcome.problems[:_MOST_TOLD])]:
        _say(line)
    if (more := len(outcome.problems) - _MOST_TOLD) > 0:
        _say(f"WRONG: and {more} more")
    verdict = f"{len(outcome.problems)} problems" if outcome.problems else "the books balance"
    _say(f"{verdict}, after {seconds:.0f} s")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
