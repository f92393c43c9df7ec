"""From a seed to a verdict: what both kinds of runs share."""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.audit import Audit

_MOST_PRINTED = 40  # problems
_LOOK_EVERY = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    figures: list[str]
    problems: list[str]


def seeded_rng(seed: int, part: str) -> Random:
    """Return the random numbers of one part of a run: the same for the same seed."""
    return Random(f"{seed}/{part}")  # noqa: S311 - a simulation


def run_and_report(name: str, seed: int, run: Callable[[Path], Awaitable[Outcome]]) -> int:
    """Run, print the outcome, and return the exit code.

    The apps log to files in a folder, which is kept if there is a problem.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    folder = Path(tempfile.mkdtemp(prefix=f"opswatch-{name}-"))
    _print(f"seed {seed}; the apps log to {folder}")
    began = time.monotonic()

    async def in_loop() -> Outcome:
        return await run(folder)

    try:
        outcome = asyncio.run(in_loop())
    except KeyboardInterrupt:
        return 130
    problems = outcome.problems
    for line in [*outcome.figures, *(f"WRONG: {problem}" for problem in problems[:_MOST_PRINTED])]:
        _print(line)
    if (more := len(problems) - _MOST_PRINTED) > 0:
        _print(f"WRONG: and {more} more")
    verdict = f"{len(problems)} problems" if problems else "everything adds up"
    _print(f"{verdict}, after {time.monotonic() - began:.0f} s")
    if not problems:
        shutil.rmtree(folder)
    return bool(problems)


async def settle(audit: Callable[[], Awaitable[Audit]], patience: float) -> None:
    """Wait until everything adds up, or for `patience` seconds."""
    give_up_at = time.monotonic() + patience
    while (await audit()).problems() and time.monotonic() < give_up_at:
        await asyncio.sleep(_LOOK_EVERY)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
