"""ARM whose operations never end, and which records how it was polled."""

import math
from array import array
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import repeat

from opswatch.core.http import HttpResponse
from tests.support.harness import ENDPOINT, status_path

FIRST_GAP, LONGEST_GAP = 5.0, 300.0  # seconds, as the README has them


def url_of(number: int) -> str:
    """Return the status URL of an operation."""
    return f"{ENDPOINT}{status_path(f'op{number}')}?api-version=2024-10-01"


def gap_at(age: float) -> float:
    """Return the seconds from a poll at `age` to the next one.

    According to the README, not to the code: 5 s, then 10 s, 20 s …, by the operation's age.
    """
    return min(FIRST_GAP * 2.0 ** math.floor(math.log2(age / FIRST_GAP + 1)), LONGEST_GAP)


class RunningArm:
    """Running operations, by number; calls `record` with each poll's lateness in seconds.

    It takes no more memory with time, so it can run in the process that is measured.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        started: Sequence[datetime],
        due: Sequence[datetime],
        record: Callable[[float], object],
    ) -> None:
        self._clock = clock
        self._record = record
        self._started = array("d", (instant.timestamp() for instant in started))
        self._due = array("d", (instant.timestamp() for instant in due))
        self.polls = array("i", repeat(0, len(started)))

    async def get(self, url: str) -> HttpResponse:
        """Answer that the operation is running, and record the poll."""
        number = int(url.rpartition("/op")[2].partition("?")[0])
        now = self._clock().timestamp()
        self._record(now - self._due[number])
        self._due[number] = now + gap_at(now - self._started[number])
        self.polls[number] += 1
        return HttpResponse(200, {}, b'{"status": "InProgress", "percentComplete": 40.0}')
