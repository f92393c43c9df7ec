"""ARM whose operations never end, and which records how it was polled."""

from array import array
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import repeat

from opswatch.core.http import HttpResponse
from tests.support.harness import ENDPOINT, status_path

LONGEST_GAP = 300.0  # seconds, as the README has it


def url_of(number: int) -> str:
    """Return the status URL of an operation."""
    return f"{ENDPOINT}{status_path(f'op{number}')}?api-version=2024-10-01"


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
        self._due = array("d", (instant.timestamp() for instant in due))
        self.polls = array("i", repeat(0, len(started)))

    async def get(self, url: str) -> HttpResponse:
        """Answer that the operation is running, and record the poll."""
        number = int(url.rpartition("/op")[2].partition("?")[0])
        now = self._clock().timestamp()
        self._record(now - self._due[number])
        self._due[number] = now + LONGEST_GAP
        self.polls[number] += 1
        # A Retry-After as long as the longest gap is met exactly by any plan.
        headers = {"retry-after": f"{LONGEST_GAP:g}"}
        return HttpResponse(200, headers, b'{"status": "InProgress", "percentComplete": 40.0}')
