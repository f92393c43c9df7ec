"""Counts by the hour: summed in memory, and merged into the rows of their hours."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from datetime import datetime

from opswatch.core.keys import Key
from opswatch.core.summary import Counted, HourCounts, one_more
from opswatch.ports import Table

_MERGE_EVERY = 10.0  # seconds
_CLOSING = 5.0  # seconds that the last merge may take


class HourlyCounts:
    """Merges the counts at most every 10 s, in the background.

    What cannot be written is kept for the next time; a process that is killed loses some seconds of
    it. `report` gets the first error of an outage.
    """

    def __init__(
        self,
        table: Table[HourCounts],
        report: Callable[[Exception], None],
        merge_every: float = _MERGE_EVERY,
    ) -> None:
        self._table = table
        self._report = report
        self._merge_every = merge_every
        self._is_failing = False
        self._sums: dict[Key, HourCounts] = {}
        self._merging: asyncio.Task[None] | None = None

    def add(self, counted: Counted, at: datetime) -> None:
        """Count something in memory."""
        self._keep(one_more(counted, at))
        if self._merging is None or self._merging.done():
            loop = asyncio.get_running_loop()
            self._merging = loop.create_task(self._merge_later(), context=Context())

    def _keep(self, counts: HourCounts) -> None:
        known = self._sums.get(counts.key)
        self._sums[counts.key] = known.plus(counts) if known else counts

    async def _merge_later(self) -> None:
        while self._sums:
            await asyncio.sleep(self._merge_every)
            await self.merge()

    async def merge(self) -> None:
        """Add what was counted to the rows."""
        for key in list(self._sums):
            added = self._sums.pop(key)
            try:
                await self._add(added)
                self._is_failing = False
            except BaseException as error:
                self._keep(added)
                if not isinstance(error, Exception):
                    raise
                if not self._is_failing:
                    self._report(error)
                self._is_failing = True

    async def _add(self, counts: HourCounts) -> None:
        while await self._table.insert(counts) is None:
            row = await self._table.get(counts.key)
            if row is not None and await self._table.replace(row.value.plus(counts), row.etag):
                return

    async def close(self) -> None:
        """Merge what was counted, if that takes a few seconds at most."""
        if self._merging is not None:
            self._merging.cancel()
            with suppress(asyncio.CancelledError):
                await self._merging
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await self.merge()
