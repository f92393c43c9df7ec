"""When to poll an operation next, learned from how long operations of its kind took.

Polling trades cost against lag. A plan minimises E[cost · polls + lag], where a poll is worth
`OPSWATCH_POLL_COST` seconds of lag. Ages and gaps are seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from opswatch.core.durations import EDGES, Distribution, History, distribution, interpolate
from opswatch.core.policy import Policy

AGES = tuple(float(age) for age in range(51))  # at which a plan may poll; then 2 % apart
while AGES[-1] < EDGES[-1]:
    AGES += (float(round(AGES[-1] * 1.02)),)

# A longer lag costs so much more, which keeps the 95th percentile of the lag below 30 s.
_LATE, _LATE_COST = 28.0, 10.0
_JITTER = 0.05  # of a gap, either way
_FIRST_BACKOFF = timedelta(seconds=5)  # after a poll that could not read the status
_FEWEST_FOR_RANGE, _FEWEST_FOR_SLOW = 5, 20  # samples of a kind


@dataclass(frozen=True, slots=True)
class Plan:
    """When to poll next, for each of `AGES` at which an operation is seen running."""

    following: tuple[float, ...]  # the age of the next poll
    cost: float

    def gap(self, age: float) -> float:
        """Return how long to wait at `age`; beyond `AGES`, as if the hazard were 1/age."""
        age = max(age, 0.0)
        if age >= AGES[-1]:
            return math.sqrt(2 * self.cost * age)
        return interpolate(AGES, self.following, age) - age


def make_plan(
    durations: Distribution, cost: float, shortest: float = 1.0, longest: float = math.inf
) -> Plan:
    """Return the plan that minimises E[cost · polls + lag], with gaps of `shortest` to `longest`.

    Dynamic programming from the last of `AGES` to the first: with F the distribution, S = 1 - F,

        W(a) = cost · S(a) + min over b of  ∫ from a to b of (b - x) dF(x) + late(a, b) + W(b)

    Keller, "Optimum checking schedules for systems subject to random failure", Management Science
    21 (1974); Barlow, Hunter, Proschan, "Optimum checking procedures", J. SIAM 11 (1963).
    """
    ended = [durations.ended_by(age) for age in AGES]
    missed = [durations.ended_by(age - _LATE) for age in AGES]
    worth = [0.0] * len(AGES)
    following = [AGES[-1] + math.sqrt(2 * cost * AGES[-1])] * len(AGES)
    for i in range(len(AGES) - 2, -1, -1):
        best, lag = math.inf, 0.0
        for j in range(i + 1, len(AGES)):
            lag += (AGES[j] - AGES[j - 1]) * ((ended[j] + ended[j - 1]) / 2 - ended[i])
            if AGES[j] - AGES[i] < shortest and j < len(AGES) - 1:
                continue
            paid = lag + _LATE_COST * max(missed[j] - ended[i], 0.0)
            if best < math.inf and (paid >= best or AGES[j] - AGES[i] > longest):
                break
            if paid + worth[j] < best:
                best, following[i] = paid + worth[j], AGES[j]
        worth[i] = cost * max(ended[-1] - ended[i], 0.0) + best
    return Plan(tuple(following), cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is expected of the operations of a kind, and the plan that follows from it."""

    durations: Distribution
    samples: int  # behind `durations`, older ones counting less
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedEnd:
    """When an operation is expected to end: the median, and the range of four in five."""

    at: datetime
    earliest_at: datetime  # the 10th percentile
    latest_at: datetime  # the 90th


def expect(history: History, now: datetime, policy: Policy) -> Expectation:
    """Return what to expect of a kind with this history; takes some milliseconds."""
    counts = history.counts(now)
    return _expect(counts, policy.poll_cost, policy.poll_min, policy.poll_max)


def _expect(
    counts: Sequence[float], cost: float, shortest: timedelta, longest: timedelta
) -> Expectation:
    durations = distribution(counts)
    plan = make_plan(durations, cost, shortest.total_seconds(), longest.total_seconds())
    return Expectation(durations=durations, samples=round(sum(counts)), plan=plan)


@lru_cache(maxsize=8)
def _expect_of_prior(cost: float, shortest: timedelta, longest: timedelta) -> Expectation:
    return _expect((), cost, shortest, longest)


def expect_unknown(policy: Policy) -> Expectation:
    """Return what to expect of a kind of which nothing is known."""
    return _expect_of_prior(policy.poll_cost, policy.poll_min, policy.poll_max)


def expected_end(
    expectation: Expectation, age: timedelta, began_at: datetime
) -> ExpectedEnd | None:
    """Return when an operation seen running at `age` is expected to end; None if that is unknown.

    It is unknown from too few samples, and beyond the longest duration that is learned.
    """
    seconds = age.total_seconds()
    if expectation.samples < _FEWEST_FOR_RANGE or seconds >= EDGES[-1]:
        return None
    earliest, median, latest = (
        began_at + timedelta(seconds=round(expectation.durations.quantile(share, seconds)))
        for share in (0.1, 0.5, 0.9)
    )
    return ExpectedEnd(at=median, earliest_at=earliest, latest_at=latest)


def is_slow(expectation: Expectation, age: timedelta) -> bool | None:
    """Return whether an operation runs longer than 99 of 100 of its kind; None if unknown."""
    if expectation.samples < _FEWEST_FOR_SLOW:
        return None
    return age.total_seconds() > expectation.durations.quantile(0.99)


def backoff(silence: timedelta, policy: Policy) -> timedelta:
    """Return the least delay after a poll that could not read the status.

    `silence` is the time since the status was last read. The delay is 5 s, doubled as often as such
    gaps fit into it: after k gaps of 5, 10, 20 … seconds it is 5·(2^k - 1), so k is
    ⌊log2(silence/5 + 1)⌋.
    """
    doublings = math.floor(math.log2(max(silence, timedelta(0)) / _FIRST_BACKOFF + 1))
    return min(_FIRST_BACKOFF * 2.0**doublings, policy.poll_max)


def next_delay(
    age: timedelta,
    remaining: timedelta,
    retry_after: timedelta | None,
    plan: Plan,
    policy: Policy,
    *,
    jitter: float = 0.0,
) -> timedelta:
    """Return how long to wait before the next poll, in whole seconds: a queue's resolution.

    `age` is the time since the operation began, `remaining` the time to the deadline, at which
    (rounded up) one last poll is made. `jitter`, from -1 to 1, spreads the plan's gap by up to 5 %
    either way. Floors are `policy.poll_min` and ARM's `retry_after`, which counts even beyond
    `policy.poll_max`, and is met exactly.
    """
    gap = plan.gap(age.total_seconds()) * (1 + _JITTER * jitter)
    least = policy.poll_min.total_seconds()
    delay = max(least, min(gap, policy.poll_max.total_seconds()))
    if retry_after is not None:
        delay = max(delay, retry_after.total_seconds())
    delay = min(delay, max(remaining.total_seconds(), least))
    return timedelta(seconds=math.ceil(delay))
