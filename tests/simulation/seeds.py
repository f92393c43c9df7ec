"""Runs of seeds: one, or many on several cores."""

from collections.abc import Iterator
from multiprocessing import Pool

from tests.simulation.invariants import check
from tests.simulation.run import Run


def run_seed(seed: int) -> Run:
    """Run one seed to its end, and check the invariants."""
    run = Run(seed)
    run.run()
    if not run.scheduler.violations:
        check(run)
    return run


def failing_seeds(seeds: range, jobs: int = 1) -> Iterator[int]:
    """Yield the seeds that break an invariant."""
    if jobs == 1:
        yield from (seed for seed in seeds if not _holds(seed))
        return
    with Pool(jobs) as pool:
        verdicts = pool.imap(_holds, seeds, chunksize=200)
        yield from (seed for seed, holds in zip(seeds, verdicts, strict=True) if not holds)


def _holds(seed: int) -> bool:
    return not run_seed(seed).scheduler.violations
