"""How long operations of a kind take: their history, and its distribution.

When to poll, which follows from a distribution, is in `schedule`; a kind's row is in `kinds`. Ages
and durations are seconds.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from math import erf, exp, exp2, log, sqrt

EDGES = (0.0, *(2 ** (i / 4 - 2) for i in range(77)))  # of the bins: 0.25 s to 36 h, 4 an octave
BINS = range(len(EDGES) - 1)

_HALF_LIFE = timedelta(days=90)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_HALF_LIVES = 500  # after the epoch: beyond it weights no longer grow
_SHORTEST = 1e-3
_BINS_AN_E_FOLD = 4 / log(2)


@dataclass(frozen=True, slots=True)
class History:
    """Observed durations by bin, later ones weighing more; histories merge by adding.

    An observation weighs 1 at the epoch and doubles with each half-life after it, so that sums
    never have to be decayed: a count today is a weight divided by today's weight.
    """

    weights: tuple[float, ...] = (0.0,) * len(BINS)

    def add(self, low: float, high: float, now: datetime) -> "History":
        """Count an operation last seen running at age `low` and first seen ended at `high`.

        The two are equal if the duration is known exactly.
        """
        high = min(max(high, _SHORTEST), EDGES[-1])
        low = min(max(low, 0.0), high - _SHORTEST)
        parts = [max(0.0, min(end, high) - max(start, low)) for start, end in pairwise(EDGES)]
        scale = weight_of(now) / sum(parts)
        return History(tuple(w + scale * p for w, p in zip(self.weights, parts, strict=True)))

    def merge(self, other: "History") -> "History":
        """Return the history of both, in either order."""
        return History(tuple(a + b for a, b in zip(self.weights, other.weights, strict=True)))

    def counts(self, now: datetime) -> tuple[float, ...]:
        """Return how many observations of today each bin is worth."""
        unit = weight_of(now)
        return tuple(weight / unit for weight in self.weights)


def weight_of(now: datetime) -> float:
    """Return what an observation of this time weighs."""
    half_lives = (now - _EPOCH) / _HALF_LIFE
    return exp2(max(-_MOST_HALF_LIVES, min(_MOST_HALF_LIVES, half_lives)))


# --- distributions


def _log_normal(median: float, sigma: float) -> tuple[float, ...]:
    below = [0.0, *((1 + erf(log(edge / median) / sigma / sqrt(2))) / 2 for edge in EDGES[1:])]
    return tuple((b - a) / below[-1] for a, b in pairwise(below))


@dataclass(frozen=True, slots=True)
class Distribution:
    """The probability that an operation has ended by each of `EDGES`."""

    ended: tuple[float, ...]

    def ended_by(self, age: float) -> float:
        """Return the probability that an operation has ended by `age`."""
        return interpolate(EDGES, self.ended, min(max(age, 0.0), EDGES[-1]))

    def quantile(self, share: float, age: float = 0.0) -> float:
        """Return the age by which `share` of the operations still running at `age` have ended."""
        ended = self.ended_by(age)
        return max(age, interpolate(self.ended, EDGES, ended + share * (self.ended[-1] - ended)))


def distribution(counts: Sequence[float]) -> Distribution:
    """Return the distribution of a history, by bins that `counts` observations fall into.

    Each observation is spread by a kernel whose width on the logarithmic scale falls with the 0.3th
    power of their number. One made-up observation, the prior, is beside them: a log-normal
    distribution that fits operations of all kinds alike.
    """
    n = sum(counts)
    width = min(1.0, max(0.1, 0.6 * max(n, 1.0) ** -0.3)) * _BINS_AN_E_FOLD
    kernel = [exp(-((distance / width) ** 2) / 2) for distance in BINS]
    masses = list(_PRIOR)
    for i, count in enumerate(counts):
        if count > 0:
            share = count / sum(kernel[abs(i - j)] for j in BINS)
            for j in BINS:
                masses[j] += share * kernel[abs(i - j)]
    return Distribution((0.0, *accumulate(mass / (n + 1) for mass in masses)))


def interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Return the value at `x` of the line through the points; beyond them, of the last segment."""
    i = min(max(bisect_left(xs, x), 1), len(xs) - 1)
    return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / ((xs[i] - xs[i - 1]) or 1.0)


_PRIOR = _log_normal(median=20.0, sigma=2.5)
