"""Runs of seeds: one, or many on several cores."""

import gc
from collections.abc import Iterator
from multiprocessing import Pool

from tests.simulation.invariants import check
from tests.simulation.purging import PurgedRun
from tests.simulation.run import Run

_PURGED_EACH = 8  # seeds, of which one is a run with the purge


def run_seed(seed: int) -> Run:
    """Run one seed to its end, and check the invariants."""
    run = PurgedRun(seed) if seed % _PURGED_EACH == _PURGED_EACH - 1 else Run(seed)
    run.run()
    if not run.scheduler.violations:
        if isinstance(run, PurgedRun):
            for problem in run.problems():
                run.scheduler.violate(problem)
        else:
            check(run)
    return run


def failing_seeds(seeds: range, jobs: int = 1) -> Iterator[int]:
    """Yield the seeds that break an invariant."""
    if jobs == 1:
        gc.freeze()  # what is loaded: each collection would look through it
        yield from (seed for seed in seeds if not _holds(seed))
        return
    with Pool(jobs, gc.freeze) as pool:
        verdicts = pool.imap(_holds, seeds, chunksize=200)
        yield from (seed for seed, holds in zip(seeds, verdicts, strict=True) if not holds)


def _holds(seed: int) -> bool:
    try:
        return not run_seed(seed).scheduler.violations
    except Exception as error:
        error.add_note(f"rerun: python -m tests.simulation --seed {seed}")
        raise
