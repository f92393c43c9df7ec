"""Learned durations, of which many runs share what takes long: the plans."""

from dataclasses import replace
from functools import lru_cache

from opswatch.core.durations import History, weight_of
from opswatch.core.keys import Key
from opswatch.core.kinds import Sample
from opswatch.core.policy import Policy
from opswatch.core.schedule import Expectation, expect, expect_unknown
from opswatch.testing import MemoryDurations
from tests.support.harness import START


class SimulatedDurations(MemoryDurations):
    """Durations that count in whole bins, so that there are few different plans."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._policy = policy

    def add(self, sample: Sample) -> None:
        """Count an ended operation, as if its duration was known exactly."""
        super().add(replace(sample, low=sample.high))

    def expectation(self, kind: Key) -> Expectation:
        """Return what follows from the samples of a kind, or the prior."""
        known = self.kinds.get(kind)
        if known is None or known.updated_at is None:
            return expect_unknown(self._policy)
        counts = known.history(known.updated_at).counts(known.updated_at)
        return _expect(tuple(map(round, counts)), self._policy)


@lru_cache(maxsize=1000)
def _expect(counts: tuple[int, ...], policy: Policy) -> Expectation:
    weight = weight_of(START)
    return expect(History(tuple(count * weight for count in counts)), START, policy)
