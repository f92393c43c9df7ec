"""Watches that have been polled for a while: written as the app would have left them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from benchmarks.many_watches.arm import LONGEST_GAP, url_of
from opswatch.core.keys import operation_from_url
from opswatch.core.lookahead import is_far
from opswatch.core.watches import OperationFacts, Watch
from opswatch.ports import Services
from opswatch.steps.wakeups import start_waiting, watch_chain

_AT_ONCE = 32
_LONGEST_GAP = timedelta(seconds=LONGEST_GAP)
_YOUNGEST, _OLDEST = timedelta(minutes=10), timedelta(minutes=70)  # at their last poll
_TIMEOUT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class RunningWatches:
    """Watches whose next polls are due from `first_due` on, spread evenly over `spread`."""

    count: int
    first_due: datetime
    spread: timedelta = _LONGEST_GAP

    @property
    def started(self) -> list[datetime]:
        """When each operation began: long enough ago for the longest gap."""
        ages = (_YOUNGEST + (_OLDEST - _YOUNGEST) * n / self.count for n in range(self.count))
        return [due - _LONGEST_GAP - age for due, age in zip(self.due, ages, strict=True)]

    @property
    def due(self) -> list[datetime]:
        """When each is polled next, to the second."""
        seconds = (int(self.spread.total_seconds() * n / self.count) for n in range(self.count))
        return [self.first_due + timedelta(seconds=second) for second in seconds]

    async def write(self, services: Services) -> None:
        """Write the row of each watch and see to its wake-up; keep few watches in memory."""
        watches = self._watches()

        async def write_some() -> None:
            for written in watches:
                watch = replace(written, far=is_far(written.due_at - services.clock()))
                await services.store.watches.insert(watch)
                await start_waiting(services, watch_chain(services), watch)

        await asyncio.gather(*(write_some() for _ in range(_AT_ONCE)))

    def _watches(self) -> Iterator[Watch]:
        for number, (started, due) in enumerate(zip(self.started, self.due, strict=True)):
            facts = OperationFacts(
                operation=operation_from_url(url_of(number)),
                registered_at=started,
                start_time=started,
                deadline_at=started + _TIMEOUT,
                status="InProgress",
                percent_complete=40.0,
                last_polled_at=due - _LONGEST_GAP,
                polls=8,
                callbacks=("https://hooks.example.com/opswatch",),
            )
            yield Watch(facts=facts, due_at=due, seq=9)
