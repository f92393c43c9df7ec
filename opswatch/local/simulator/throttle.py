"""A token bucket per subscription, as ARM has for reads."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The size of a bucket and how fast it refills; the defaults are the documented values.

    https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
    """

    capacity: float = 250
    refill: float = 25  # per second


@dataclass(frozen=True, slots=True)
class Grant:
    """Whether a request is allowed, how many remain, and when to retry."""

    granted: bool
    remaining: int
    retry_after: timedelta = timedelta(0)


class Buckets:
    """The buckets of all subscriptions. Without a limit every request is allowed."""

    def __init__(self, limit: Limit | None) -> None:
        self._limit = limit
        self._levels: dict[str, tuple[float, datetime]] = {}  # what remained, and when
        self._counts: defaultdict[str, int] = defaultdict(int)

    def take(self, subscription: str, now: datetime) -> Grant:
        """Take one request from the bucket of `subscription`."""
        if self._limit is None:
            self._counts[subscription] += 1
            return Grant(granted=True, remaining=max(0, 11_999 - self._counts[subscription]))
        level, at = self._levels.get(subscription, (self._limit.capacity, now))
        refilled = max(0.0, (now - at).total_seconds() * self._limit.refill)
        remaining = min(self._limit.capacity, level + refilled)
        if remaining < 1:
            self._levels[subscription] = remaining, now
            wait = timedelta(seconds=(1 - remaining) / self._limit.refill)
            return Grant(granted=False, remaining=0, retry_after=wait)
        self._levels[subscription] = remaining - 1, now
        return Grant(granted=True, remaining=int(remaining - 1))
