"""Finding operations: by what was typed, with their deliveries, and newest first."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from opswatch.commands.terminal import UsageError
from opswatch.core.deliveries import Delivery
from opswatch.core.intake import Intake, Rejection
from opswatch.core.keys import Key
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.core.wire import date_partition
from opswatch.ports import Query, Services

REGISTERED = "registered"  # stands for the status of a watch before its first answer
_KEY = re.compile(r"(?P<partition>[^/\s]+)/(?P<row>[^/~]+(?:~[^/~]+){3,4})")


@dataclass(frozen=True, slots=True)
class Standing:
    """How an operation stands: its watch or its result, and its deliveries."""

    followed: Watch | Result
    deliveries: tuple[Delivery, ...]

    @property
    def status(self) -> str:
        """The status as the rows of its table have it."""
        if isinstance(self.followed, Result):
            return self.followed.end.status.value
        return self.followed.facts.status or REGISTERED


def key_of(text: str, intake: Intake, now: datetime) -> Key:
    """Return the key of the operation that `text` names; raise `UsageError` where it names none."""
    if key := _KEY.fullmatch(text.strip()):
        return Key(key["partition"].lower(), key["row"])
    read = intake.read(text.encode(), now)
    if isinstance(read, Rejection):
        raise UsageError(f"{read.reason}: {read.detail}")
    return read.operation.key


async def stand(services: Services, key: Key) -> Standing | None:
    """Return how the operation `key` stands, or None where it is not known."""
    found = await services.store.results.get(key) or await services.store.watches.get(key)
    if found is None:  # the result may have been written between the two reads
        found = await services.store.results.get(key)
    return Standing(found.value, await _deliveries(services, key)) if found else None


async def _deliveries(services: Services, key: Key) -> tuple[Delivery, ...]:
    """Return the deliveries of an operation; of one that is owed again, how it stands now."""
    where = Query(partition=key.partition, row_prefix=f"{key.row}~")
    found: dict[Key, Delivery] = {}
    for table in (services.store.deliveries, services.store.outbox):
        async for row in table.find(where):
            if row.value.operation == key:
                found[row.value.key] = row.value
    return tuple(found[key] for key in sorted(found, key=lambda key: key.row))


async def newest_first(
    services: Services, since: datetime, now: datetime
) -> AsyncIterator[TimelineEntry]:
    """Yield the operations that were registered `since`, each with its status of now."""
    for days in range((now.date() - since.date()).days + 1):
        day = Query(partition=date_partition(now - timedelta(days=days)))
        async for line in services.store.timeline.find(day):
            if line.value.registered_at < since:
                return
            yield await _as_of_now(services, line.value)


async def _as_of_now(services: Services, line: TimelineEntry) -> TimelineEntry:
    """Return a line with the status of its watch: lines are written at the ends of a life alone."""
    if line.finished_at is not None:
        return line
    watch = await services.store.watches.get(line.operation)
    status = watch.value.facts.status if watch else None
    return replace(line, status=status or REGISTERED)
