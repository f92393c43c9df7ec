"""Learned durations over their table: a cache to read from, and sums to be merged."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from opswatch.core.keys import Key
from opswatch.core.kinds import (
    KindDurations,
    Sample,
    count_sample,
    least_used,
    merge_durations,
    with_percentiles,
)
from opswatch.core.policy import Policy
from opswatch.core.schedule import Expectation, expect, expect_unknown
from opswatch.ports import Query, Table

_READ_EVERY = timedelta(seconds=60)
_MERGE_EVERY = 10.0  # seconds
_CLOSING = 5.0  # seconds that the last merge may take
_MOST_KINDS = 1000  # in memory; a post can name any kind
# What a corrupted row raises when it is read or added to. It counts as absent, and is overwritten
# if it is corrupted at the next merge, too: an answer may have been garbled on its way.
_CORRUPTED = (ValueError, TypeError, OverflowError)


@dataclass(frozen=True, slots=True)
class _Known:
    expectation: Expectation
    etag: str | None  # of the row that it follows from; None if there is none
    read_at: datetime


class LearnedDurations:
    """Reads each kind at most once a minute and merges it at most every 10 s, in the background.

    A table that cannot be reached costs what it would have taught, and nothing else. `report` gets
    the first error of an outage.
    """

    def __init__(
        self,
        table: Table[KindDurations],
        policy: Policy,
        clock: Callable[[], datetime],
        report: Callable[[Exception], None],
        merge_every: float = _MERGE_EVERY,
    ) -> None:
        self._table = table
        self._policy = policy
        self._clock = clock
        self._report = report
        self._merge_every = merge_every
        self._is_failing = False
        self._known: dict[Key, _Known] = {}
        self._to_read: dict[Key, None] = {}  # in the order of asking
        self._reading: asyncio.Task[None] | None = None
        self._sums: dict[Key, KindDurations] = {}
        self._merging: asyncio.Task[None] | None = None
        self._corrupted: set[Key] = set()

    def expectation(self, kind: Key) -> Expectation:
        """Return what was read of a kind last, or the prior; read it if that is a minute ago."""
        known = self._known.get(kind)
        if known is None or self._clock() - known.read_at >= _READ_EVERY:
            self._to_read[kind] = None
            self._reading = _start(self._reading, self._read)
        return known.expectation if known else expect_unknown(self._policy)

    def add(self, sample: Sample) -> None:
        """Count an ended operation in memory."""
        if sample.kind in self._sums or len(self._sums) < _MOST_KINDS:
            self._sums[sample.kind] = count_sample(self._sums.get(sample.kind), sample)
        self._merging = _start(self._merging, self._merge_later)

    async def _read(self) -> None:
        while self._to_read:
            kind = next(iter(self._to_read))
            known = await self._load(kind)
            self._known.pop(kind, None)
            self._known[kind] = known
            if len(self._known) > _MOST_KINDS:  # drop the least recently read
                del self._known[next(iter(self._known))]
            del self._to_read[kind]

    async def _load(self, kind: Key) -> _Known:
        """Return what the table holds of a kind now; if that cannot be read, what was known."""
        unknown = _Known(expect_unknown(self._policy), None, self._clock())
        known = self._known.get(kind, unknown)
        try:
            row = await self._table.get(kind)
            now = self._clock()
            if row is None:
                known = unknown
            elif row.etag != known.etag:
                history = row.value.history(now)
                known = _Known(expect(history, now, self._policy), row.etag, now)
        except _CORRUPTED:
            known = unknown
        except Exception as error:
            self._failed(error)
        else:
            self._is_failing = False
        return replace(known, read_at=self._clock())

    async def _merge_later(self) -> None:
        while self._sums:
            await asyncio.sleep(self._merge_every)
            await self.merge()

    async def merge(self) -> None:
        """Add what was counted to the rows; what cannot be added now is kept for the next time."""
        inserted: set[str] = set()
        for kind in list(self._sums):
            added = self._sums.pop(kind)
            try:
                if await self._merge(kind, added):
                    inserted.add(kind.partition)
                self._is_failing = False
            except BaseException as error:
                newer = self._sums.get(kind)
                self._sums[kind] = merge_durations(newer, added, self._clock()) if newer else added
                if not isinstance(error, Exception):
                    raise
                self._failed(error)
        for provider in inserted:
            try:
                await self._remove_least_used(provider)
            except Exception as error:
                self._failed(error)

    async def _merge(self, kind: Key, added: KindDurations) -> bool:
        """Add to the row of a kind; return True if there was none."""
        while True:
            now = self._clock()
            try:
                row = await self._table.get(kind)
                merged = merge_durations(row.value, added, now) if row else added
                merged = with_percentiles(merged, now)
            except _CORRUPTED:
                if kind not in self._corrupted:
                    self._corrupted.add(kind)
                    raise
                self._corrupted.discard(kind)
                await self._table.put(with_percentiles(added, now))
                return False
            self._corrupted.discard(kind)
            if row is None:
                if await self._table.insert(merged) is not None:
                    return True
            elif await self._table.replace(merged, row.etag) is not None:
                return False

    async def _remove_least_used(self, provider: str) -> None:
        kinds = [row.value async for row in self._table.find(Query(partition=provider))]
        for known in least_used(kinds, self._clock()):
            await self._table.delete(known.key)

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            self._report(error)
        self._is_failing = True

    async def close(self) -> None:
        """Merge what was counted, if that takes a few seconds at most."""
        for task in (self._reading, self._merging):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await self.merge()


def _start(
    task: asyncio.Task[None] | None, run: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Return the task, or a new one if it has ended; it belongs to no poll's span."""
    if task is not None and not task.done():
        return task
    return asyncio.get_running_loop().create_task(run(), context=Context())
