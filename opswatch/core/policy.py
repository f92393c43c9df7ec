"""The settings that decisions depend on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

DEFAULT_CALLBACK_SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
# The longest time that a queue can hide a message.
# https://learn.microsoft.com/rest/api/storageservices/put-message
MAX_DELAY = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=1)  # between two clocks: more, and one of them is wrong
USUAL_SKEW = timedelta(seconds=2)  # between the clocks of two workers, at the most
_MARGIN = timedelta(minutes=1)  # below it: clocks may be set back before the message is sent
_SECOND = timedelta(seconds=1)  # the queue's resolution


def due_after(now: datetime, delay: timedelta) -> datetime:
    """Return when something is due that waits for `delay`: the one place where delays are capped.

    A queue refuses a longer delay, and what it refuses would be repeated without an end. A delay is
    rounded up to whole seconds, and never negative.
    """
    seconds = max(0, -(-min(delay, MAX_DELAY - _MARGIN) // _SECOND))
    return now + seconds * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that decisions depend on."""

    timeout: timedelta = timedelta(hours=24)  # of a watch, unless its post gives another
    poll_min: timedelta = timedelta(seconds=1)
    poll_max: timedelta = timedelta(minutes=5)
    poll_cost: float = 2.0  # seconds of lag that one poll is worth
    miss_grace: timedelta = timedelta(minutes=15)  # of unreadable answers, before `Lost`
    retention: timedelta = timedelta(days=30)  # of results and rejections
    callback_schedule: tuple[timedelta, ...] = DEFAULT_CALLBACK_SCHEDULE  # the gap before each
    callback_result: bool = True  # whether an event has a `result`, which is redacted
