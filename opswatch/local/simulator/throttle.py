"""A token bucket for each subscription, as ARM keeps one for reads."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The size of a bucket and how fast it fills; the defaults are the documented ones.

    https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
    """

    capacity: float = 250
    refill: float = 25  # per second


@dataclass(frozen=True, slots=True)
class _Level:
    remaining: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """Whether a request may pass, what is left, and when to come back."""

    granted: bool
    remaining: int
    retry_after: timedelta = timedelta(0)


class Buckets:
    """The buckets of all subscriptions. Without a limit everything passes."""

    def __init__(self, limit: Limit | None) -> None:
        self._limit = limit
        self._levels: dict[str, _Level] = {}
        self._counts: defaultdict[str, int] = defaultdict(int)

    def take(self, subscription: str, now: datetime) -> Grant:
        """Take one request out of the bucket of `subscription`."""
        if self._limit is None:
            self._counts[subscription] += 1
            return Grant(granted=True, remaining=max(0, 11_999 - self._counts[subscription]))
        remaining = self._remaining(self._limit, subscription, now)
        granted = remaining >= 1
        self._levels[subscription] = _Level(remaining - 1 if granted else remaining, now)
        if granted:
            return Grant(granted=True, remaining=int(remaining - 1))
        wait = timedelta(seconds=(1 - remaining) / self._limit.refill)
        return Grant(granted=False, remaining=0, retry_after=wait)

    def _remaining(self, limit: Limit, subscription: str, now: datetime) -> float:
        level = self._levels.get(subscription)
        if level is None:
            return limit.capacity
        refilled = (now - level.at).total_seconds() * limit.refill
        return min(limit.capacity, level.remaining + max(0.0, refilled))
