"""Waiting for an operation: when to look again, and what ends a wait."""

import logging
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from azure.core.exceptions import AzureError, ServiceResponseError

from opswatch.client.calls import Timing, settle
from opswatch.client.errors import OperationNotFoundError, UnreachableError
from opswatch.client.row import OperationRow
from opswatch.client.source import Posted, Source, is_hiccup
from opswatch.core.keys import Key

_logger = logging.getLogger("opswatch.client")

OUTAGE = timedelta(minutes=10)  # without an answer, after which a wait ends
UNKNOWN = timedelta(minutes=5)  # without a row, after which a wait ends
_LEAST, _MOST = 1.0, 30.0  # seconds between two looks
_MOST_WHILE_DUE = 15.0
_LONGEST_LOOK = 10.0  # seconds by which a read may exceed the time limit of its wait
_AFTER_DUE = 1.0  # what a poll and its writes take


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a wait goes on without an answer, and without a row."""

    outage: timedelta = OUTAGE
    unknown: timedelta = UNKNOWN


PATIENCE = Patience()


def next_look(row: OperationRow | None, looks: int, now: datetime) -> float:
    """Return the seconds to the next look, after `looks` in a row that have shown the same.

    An end is seen by a poll of the app, so the next look comes after the next poll is due. Until
    the row says so, looks become rarer: each is one or two reads, which are billed.
    """
    if row is not None and row.due_at is not None and row.due_at > now:
        until = (row.due_at - now).total_seconds() + _AFTER_DUE
        return min(max(until, _LEAST), _MOST)
    return _growing(looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An operation to wait for."""

    source: Source
    timing: Timing
    patience: Patience
    key: Key
    posted: Posted | None = None  # if this process has posted it

    async def looks(self, timeout: timedelta | float | None) -> AsyncIterator[OperationRow]:
        """Yield the operation at each look until it has ended.

        Raise `TimeoutError` after `timeout` (a number is seconds), `OperationNotFoundError` if
        there is no row for long, `RejectedError` if the app has rejected its post, and
        `NotAllowedError` or `UnreachableError`. The watch goes on in any case.
        """
        deadline = self.timing.monotonic() + _seconds(timeout)
        unknown_since = self.timing.monotonic()
        hiccups = Hiccups(self.timing, self.patience)
        last: OperationRow | None = None
        looks = 0
        while True:
            delay = _MOST_WHILE_DUE
            try:
                left = deadline - self.timing.monotonic()
                read = self.timing.within(self.source.read(self.key), max(left, _LONGEST_LOOK))
                row = self._of_this_round(await read)
                if row is None:
                    await self._check_unknown(self.timing.monotonic() - unknown_since)
            except TimeoutError:
                delay = hiccups.failed(ServiceResponseError("a read has not ended in time"))
            except AzureError as error:
                delay = hiccups.failed(error)
            else:
                hiccups.answered()
                if row is not None:
                    unknown_since = self.timing.monotonic()
                    yield row
                    if row.is_finished:
                        return
                looks = looks + 1 if row == last else 0
                last = row or last
                delay = next_look(row, looks, self.timing.now())
            left = deadline - self.timing.monotonic()
            if left <= 0:
                state = (
                    f"its status is {last.status}" if last and last.status else "it has no status"
                )
                raise TimeoutError(f"{self.key} has not ended in time: {state}; the watch goes on")
            await settle(self.timing.sleep(min(delay, left)))

    def _of_this_round(self, row: OperationRow | None) -> OperationRow | None:
        """Return the row, unless it has the end that the post asks to replace."""
        is_replaced = (
            row is not None
            and row.is_finished
            and self.posted is not None
            and row.round <= self.posted.replaces
        )
        return None if is_replaced else row

    async def _check_unknown(self, seconds: float) -> None:
        """Raise if the app has rejected the post, or there has been no row for too long."""
        if self.posted is not None:
            rejected = await self.source.rejection(self.posted)
            if rejected is not None:
                raise rejected
        if seconds > self.patience.unknown.total_seconds():
            raise not_found(self.key)


class Hiccups:
    """Failed calls in a row, and whether waiting for an answer is of any use."""

    def __init__(self, timing: Timing, patience: Patience) -> None:
        self._timing = timing
        self._longest = patience.outage.total_seconds()
        self._since: float | None = None
        self._count = 0
        self._has_answered = False

    def answered(self) -> None:
        """Forget the failures."""
        if self._since is not None:
            _logger.info("opswatch answers again")
        self._since, self._count, self._has_answered = None, 0, True

    def failed(self, error: AzureError) -> float:
        """Return the seconds to the next try; raise if there should be none."""
        if not is_hiccup(error, has_answered=self._has_answered):
            raise error
        now = self._timing.monotonic()
        if self._since is None:
            self._since = now
            _logger.warning("opswatch does not answer: %s; trying again", type(error).__name__)
        if now - self._since > self._longest:
            seconds = round(now - self._since)
            raise UnreachableError(
                f"no answer for {seconds} s ({type(error).__name__}); what is watched goes on"
            ) from error
        self._count += 1
        return _growing(self._count - 1)


def not_found(key: Key) -> OperationNotFoundError:
    """Return the error of a key without a row."""
    return OperationNotFoundError(
        f"no operation {key} is known: it was never posted, was rejected (see the table "
        "`rejections`), has been purged, or the app does not run"
    )


def _growing(count: int) -> float:
    return min(math.ldexp(_LEAST, min(count, 10)), _MOST_WHILE_DUE)


def _seconds(timeout: timedelta | float | None) -> float:
    if timeout is None:
        return math.inf
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
