"""When to poll an operation next."""

import math
from datetime import timedelta

from opswatch.core.policy import Policy

_FIRST_GAP = timedelta(seconds=5)


def next_delay(
    age: timedelta, remaining: timedelta, retry_after: timedelta | None, policy: Policy
) -> timedelta:
    """Return how long to wait before the next poll, in whole seconds: a queue's resolution.

    `age` is the time since the operation began, `remaining` the time to the deadline, at which
    (rounded up) one last poll is made. ARM's `retry_after` counts even beyond the maximum. Without
    it the gap is 5 s, doubled as often as such gaps fit into the age: polls come at the ages 0, 5,
    15, 35, 75 s and so on. After k gaps of 5, 10, 20 … seconds the age is 5·(2^k - 1), hence
    k = ⌊log2(age/5 + 1)⌋. Only the age counts, so a watch registered late joins in at its place.
    """
    if retry_after is not None:
        delay = max(retry_after, policy.poll_min)
    else:
        doublings = math.floor(math.log2(max(age, timedelta(0)) / _FIRST_GAP + 1))
        gap = _FIRST_GAP * 2.0**doublings
        delay = min(max(gap, policy.poll_min), policy.poll_max)
    delay = min(delay, max(remaining, policy.poll_min))
    return timedelta(seconds=math.ceil(delay.total_seconds()))
