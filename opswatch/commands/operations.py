"""Finding operations: by what was typed, with their deliveries, and newest first."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from opswatch.commands.terminal import UsageError
from opswatch.core.intake import Intake
from opswatch.core.model import Delivery, Key, Rejection, Result, TimelineEntry, Watch
from opswatch.core.wire import date_partition
from opswatch.ports import Where, World

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
        return self.followed.status or REGISTERED


def key_of(text: str, intake: Intake, now: datetime) -> Key:
    """Return the key of the operation that `text` names; raise `UsageError` where it names none."""
    if key := _KEY.fullmatch(text.strip()):
        return Key(key["partition"].lower(), key["row"])
    read = intake.read(text.encode(), now)
    if isinstance(read, Rejection):
        raise UsageError(f"{read.reason}: {read.detail}")
    return read.operation.key


async def stand(world: World, key: Key) -> Standing | None:
    """Return how the operation `key` stands, or None where it is not known."""
    found = await world.store.results.get(key) or await world.store.watches.get(key)
    if found is None:  # the result may have been written between the two reads
        found = await world.store.results.get(key)
    return Standing(found.noun, await _deliveries(world, key)) if found else None


async def _deliveries(world: World, key: Key) -> tuple[Delivery, ...]:
    """Return the deliveries of an operation; of one that is owed again, how it stands now."""
    where = Where(partition=key.partition, row_prefix=f"{key.row}~")
    found: dict[Key, Delivery] = {}
    for table in (world.store.deliveries, world.store.outbox):
        async for row in table.find(where):
            if row.noun.operation == key:
                found[row.noun.key] = row.noun
    return tuple(found[key] for key in sorted(found, key=lambda key: key.row))


async def newest_first(
    world: World, since: datetime, now: datetime
) -> AsyncIterator[TimelineEntry]:
    """Yield the operations that were registered `since`, each with its status of now."""
    for days in range((now.date() - since.date()).days + 1):
        day = Where(partition=date_partition(now - timedelta(days=days)))
        async for line in world.store.timeline.find(day):
            if line.noun.registered_at < since:
                return
            yield await _as_of_now(world, line.noun)


async def _as_of_now(world: World, line: TimelineEntry) -> TimelineEntry:
    """Return a line with the status of its watch: lines are written at the ends of a life alone."""
    if line.finished_at is not None:
        return line
    watch = await world.store.watches.get(line.operation)
    status = watch.noun.status if watch else None
    return replace(line, status=status or REGISTERED)
