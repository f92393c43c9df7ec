"""A run from its seed to its verdict, whatever is played."""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

_MOST_TOLD = 40


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    figures: list[str]
    problems: list[str]


def conduct(name: str, seed: int, play: Callable[[Path], Awaitable[Outcome]]) -> int:
    """Play a run, tell what came of it, and return the exit code.

    What the apps say goes to files in a folder, which is kept where there is a problem.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    folder = Path(tempfile.mkdtemp(prefix=f"opswatch-{name}-"))
    _say(f"seed {seed}; the apps speak in {folder}")
    began = time.monotonic()

    async def run() -> Outcome:
        return await play(folder)

    try:
        outcome = asyncio.run(run())
    except KeyboardInterrupt:
        return 130
    _tell(outcome, time.monotonic() - began)
    if not outcome.problems:
        shutil.rmtree(folder)
    return bool(outcome.problems)


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
