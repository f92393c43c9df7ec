"""When to poll an operation next."""

import math
from datetime import datetime, timedelta

from opswatch.core.model import Missed, Policy, Running, Watch
from opswatch.core.timestamps import whole_seconds

_FIRST_GAP = timedelta(seconds=5)


def next_poll_at(watch: Watch, seen: Running | Missed, now: datetime, policy: Policy) -> datetime:
    """Return when `watch` is due again: what ARM asks for, else what its age asks for.

    A whole number of seconds from `now`, which is what a queue can wait, and no later than the
    deadline (rounded up), at which one last poll is made.
    """
    if seen.retry_after is not None:  # beyond the maximum it still counts
        delay = max(seen.retry_after, policy.poll_min)
    else:
        delay = min(max(_gap_at(_age(watch, now)), policy.poll_min), policy.poll_max)
    delay = min(delay, max(watch.deadline_at - now, policy.poll_min))
    return now + timedelta(seconds=whole_seconds(delay))


def _age(watch: Watch, now: datetime) -> timedelta:
    return max(now - (watch.start_time or watch.registered_at), timedelta(0))


def _gap_at(age: timedelta) -> timedelta:
    """Return 5 s, doubled as often as such gaps fit into `age`.

    So polls come at the ages 0, 5, 15, 35, 75 s and so on.
    After k gaps of 5, 10, 20 … seconds the age is 5·(2^k - 1), hence k = ⌊log2(age/5 + 1)⌋. Since
    only the age counts, a watch registered late joins in where it belongs.
    """
    doublings = math.floor(math.log2(age / _FIRST_GAP + 1))
    return _FIRST_GAP * 2.0**doublings
