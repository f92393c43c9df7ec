"""Pollers as the ages at which they poll: the learned schedule, and those of others."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import count

from opswatch.core.policy import Policy
from opswatch.core.schedule import Plan, next_delay

HORIZON = 60 * 3600.0  # seconds: longer than anything recorded
FIRST_POLL = 1.0  # the age at which a post can have reached opswatch
_FAR = timedelta(days=365)


class Ages:
    """The ages at which one operation is polled, for as long as it runs."""

    def __init__(self, ages: Iterable[float]) -> None:
        self._ages: list[float] = []
        for age in ages:
            self._ages.append(age)
            if age > HORIZON:
                break

    def score(self, duration: float) -> tuple[int, float]:
        """Return how many polls an operation of this duration gets, and the lag of the last."""
        last = bisect_left(self._ages, duration)
        return last + 1, self._ages[last] - duration


def planned(
    plan: Plan, policy: Policy, *, first: float | None = FIRST_POLL, jitter: float = 0.0
) -> Ages:
    """Return the ages at which opswatch polls: `first`, or by the plan if that is None."""

    def ages() -> Iterator[float]:
        age = 0.0 if first is None else first
        if first is not None:
            yield age
        while True:
            age_now = timedelta(seconds=age)
            delay = next_delay(age_now, _FAR, None, plan, policy, jitter=jitter)
            age += delay.total_seconds()
            yield age

    return Ages(ages())


def fixed(interval: float, first: float) -> Ages:
    """Poll at a fixed interval."""
    return Ages(first + interval * i for i in count())


def doubling(first: float, most: float) -> Ages:
    """Poll at once, then with gaps that double up to `most`."""

    def ages() -> Iterator[float]:
        age, gap = FIRST_POLL, first
        while True:
            yield age
            age, gap = age + gap, min(2 * gap, most)

    return Ages(ages())


def google_workflows() -> Ages:
    """Poll after 1 s, then with gaps that grow by a quarter up to 60 s."""

    def ages() -> Iterator[float]:
        age, gap = 1.0, 1.0
        while True:
            yield age
            gap = min(1.25 * gap, 60.0)
            age += gap

    return Ages(ages())


def step_functions() -> Ages:
    """Poll each minute for ten minutes, then every five."""
    return Ages(60.0 * i if i <= 10 else 600 + 300.0 * (i - 10) for i in count(1))  # noqa: PLR2004


def ewma(mean: float) -> Ages:
    """Poll at the average duration of the kind, then each tenth of it, at least 1 s."""
    return fixed(max(1.0, mean / 10), first=max(FIRST_POLL, mean))


FIXED: dict[str, Callable[[], Ages]] = {
    "azure-core": lambda: fixed(30, first=0.5),
    "fixed 10": lambda: fixed(10, first=10),
    "fixed 30": lambda: fixed(30, first=30),
    "fixed 60": lambda: fixed(60, first=60),
    "doubling to 60": lambda: doubling(5, 60),
    "doubling to 300": lambda: doubling(5, 300),
    "Google Workflows": google_workflows,
    "Step Functions": step_functions,
}
