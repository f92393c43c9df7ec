"""Waiting for operations: look again and again, report progress on stderr, ride out outages."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import Any, TypeVar

from opswatch.cli.columns import label_of
from opswatch.cli.exit_codes import (
    EXIT_FAILURE,
    EXIT_RUNNING,
    EXIT_SUCCESS,
    EXIT_USAGE,
    exit_code_of,
)
from opswatch.cli.failures import CommandError, command_error, may_pass
from opswatch.cli.operations import get_operation, key_of, unknown
from opswatch.cli.output import Row, note, span
from opswatch.cli.source import Source, time_limit
from opswatch.cli.texts import change_text, delivery_text, short_instant
from opswatch.core.deliveries import delivery_ids
from opswatch.core.keys import Key
from opswatch.core.timeline import origin_of

T = TypeVar("T")

LONGEST_OUTAGE = 600.0  # seconds that are ridden out
_UNKNOWN_FOR = 120.0  # seconds that a posted operation or callback may take to be registered
_DELIVERIES_WITHIN = 30.0  # seconds from a result to its deliveries
_SHORTEST, _LONGEST_PAUSE, _SHARE = 1.0, 5.0, 0.05  # seconds; of the time that has passed
_AT_ONCE = 8  # looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What to wait for."""

    any_of_them: bool = False  # the first end is enough
    callbacks: bool = False  # until the callbacks are settled, too
    # URLs, each with the ends that it gets: until they are registered and settled, too. Their posts
    # may be in the queue yet, so that no row has them.
    named_callbacks: Mapping[Key, Mapping[str, Collection[str]]] = field(default_factory=dict)
    timeout: timedelta | None = None  # zero: look once
    every: float | None = None  # seconds between looks; None: 1 s, later 5 s
    has_reached: bool = (
        False  # the source has answered just now: an outage of the first look passes
    )
    ended_rounds: Mapping[Key, int] = field(default_factory=dict)  # whose results do not count


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """How a wait has ended."""

    rows: list[dict[str, Any]]  # of the operations that are known, in the order of their names
    exit_code: int


@dataclass(slots=True)
class Looks:
    """Looks that go on through an outage, after a first one that has succeeded."""

    clock: Callable[[], float] = time.monotonic
    has_looked: bool = False
    _failing_since: float | None = field(default=None, init=False)

    @property
    def is_failing(self) -> bool:
        """Whether the last look has failed."""
        return self._failing_since is not None

    async def look(self, call: Awaitable[T]) -> T | None:
        """Return what a call returns; None if it fails so that it may succeed later."""
        try:
            found = await call
        except Exception as error:
            if not (self.has_looked and may_pass(error)):
                raise
            now = self.clock()
            if self._failing_since is None:
                self._failing_since = now
                note(f"{command_error(error) or error}; trying again")
            if now - self._failing_since > LONGEST_OUTAGE:
                raise
            return None
        if self._failing_since is not None:
            note(f"looking again after {self.clock() - self._failing_since:.0f} s")
        self.has_looked, self._failing_since = True, None
        return found


async def wait_for(source: Source, keys: Sequence[Key], wait: Wait) -> Waited:
    """Wait until the operations have ended, or one of them, or the time is over.

    Prints each change on stderr. Raises `CommandError` for an operation that stays unknown.
    """
    began = time.monotonic()
    waiting, looks = _Waiting(source, keys, wait), Looks(has_looked=wait.has_reached)
    while True:
        longest = inf
        if wait.timeout:
            longest = max(wait.timeout.total_seconds() - (time.monotonic() - began), _SHORTEST)
        await looks.look(waiting.look(longest))
        passed = time.monotonic() - began
        waiting.report(passed)
        if waiting.is_over:
            return Waited(rows=waiting.found, exit_code=waiting.exit_code)
        left = None if wait.timeout is None else wait.timeout.total_seconds() - passed
        if left is not None and left <= 0:
            note(f"still running after {span(timedelta(seconds=passed))}: {waiting.left}")
            return Waited(rows=waiting.found, exit_code=EXIT_RUNNING)
        pause = wait.every or min(max(_SHORTEST, passed * _SHARE), _LONGEST_PAUSE)
        await asyncio.sleep(pause if left is None else min(pause, left))


@dataclass(slots=True)
class _Waiting:
    """What is known of the operations that are waited for."""

    source: Source
    keys: Sequence[Key]
    wait: Wait
    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    done: set[Key] = field(default_factory=set)
    reported: set[Key] = field(default_factory=set)  # of those that are done
    ended: dict[Key, float] = field(default_factory=dict)  # the seconds when that was seen
    bars: dict[tuple[Key, int], int] = field(default_factory=dict)
    printed: dict[Key, str] = field(default_factory=dict)

    async def look(self, seconds: float) -> bool:
        """Read the operations that are not done, within `seconds`; raise the first error."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def read(key: Key) -> None:
            async with limit:
                row = await get_operation(self.source, key)
                if row and (
                    row["state"] != "finished"
                    or row.get("round", 1) > self.wait.ended_rounds.get(key, 0)
                ):
                    self.rows[key] = row

        left = [key for key in self.keys if key not in self.done]
        async with time_limit(seconds, self.source.base):
            outcomes = await asyncio.gather(*map(read, left), return_exceptions=True)
        for error in filter(None, outcomes):
            raise error
        return True

    def report(self, passed: float) -> None:
        """Print what has changed; note which operations are done."""
        for key in self.keys:
            row = self.rows.get(key)
            text = change_text(row, self.bars) if row else "not known yet"
            if row is None and passed > _UNKNOWN_FOR:
                raise unknown(key)
            if row and row["state"] == "finished":
                since_end = passed - self.ended.setdefault(key, passed)
                missing = self._missing_callback(key, row)
                if missing is not None and since_end > _UNKNOWN_FOR:
                    raise _unknown_callback(missing, row)
                if missing is not None:
                    text += ", callback not known yet"
                elif self._is_settled(key, row, since_end):
                    self.done.add(key)
                else:
                    text += ", callbacks pending"
            if self.printed.get(key) != text:
                self.printed[key] = text
                label = label_of(row) if row else key
                note(f"{span(timedelta(seconds=passed)):>6}  {text:<12}  {label}")
            if row and key in self.done - self.reported:
                self.reported.add(key)
                self._note_abandoned(key, row)

    def _ids(self, key: Key, row: Row) -> dict[str, frozenset[str]]:
        """Return the ids of the named callbacks that get this end, by their URLs."""
        named = self.wait.named_callbacks.get(key, {})
        return {
            url: delivery_ids(key_of(row), url, row.get("round", 1))
            for url, ends in named.items()
            if row["status"] in ends
        }

    def _missing_callback(self, key: Key, row: Row) -> str | None:
        """Return a named callback that has no delivery yet; None if each has one."""
        known = {delivery["deliveryId"] for delivery in _of_this_round(row)}
        ids = self._ids(key, row)
        return next((url for url in ids if ids[url].isdisjoint(known)), None)

    def _deliveries(self, key: Key, row: Row) -> list[Row]:
        """Return the deliveries that are waited for."""
        deliveries = _of_this_round(row)
        if self.wait.callbacks:
            return deliveries
        ids = frozenset().union(*self._ids(key, row).values())
        return [delivery for delivery in deliveries if delivery["deliveryId"] in ids]

    def _is_settled(self, key: Key, row: Row, since_end: float) -> bool:
        is_late = since_end > _DELIVERIES_WITHIN
        if self.wait.callbacks and not is_settled(row, is_late=is_late):
            return False
        return all(each["state"] != "pending" for each in self._deliveries(key, row))

    def _note_abandoned(self, key: Key, row: Row) -> None:
        """Print which callbacks were abandoned, if they are waited for: the exit code is theirs."""
        for each in self._deliveries(key, row):
            if each["state"] == "abandoned":
                text = f"callback {delivery_text(each, short_instant)}"
                note(f"{text}; `opswatch redeliver {key_of(row)}` sends it again")

    @property
    def is_over(self) -> bool:
        return len(self.done) == len(self.keys) or (self.wait.any_of_them and bool(self.done))

    @property
    def found(self) -> list[dict[str, Any]]:
        return [self.rows[key] for key in self.keys if key in self.rows]

    @property
    def left(self) -> str:
        left = [key for key in self.keys if key not in self.done]
        return ", ".join(label_of(self.rows[key]) if key in self.rows else str(key) for key in left)

    @property
    def exit_code(self) -> int:
        """The exit code of the worst end; an abandoned callback that is waited for is a failure."""
        rows = {key: self.rows[key] for key in self.done}
        code = exit_code_of(row["status"] for row in rows.values())
        states = [each["state"] for key in rows for each in self._deliveries(key, rows[key])]
        return EXIT_FAILURE if code == EXIT_SUCCESS and "abandoned" in states else code


def is_settled(row: Row, *, is_late: bool) -> bool:
    """Return whether all callbacks of an ended operation are settled.

    A result is written before its deliveries: until it `is_late`, each callback must have one.
    """
    ends = row.get("callbackOn") or {}
    status = row["status"]
    wanted = [
        url
        for url in row.get("callbacks") or ()
        if status != "Stopped" and status in ends.get(url, [status])
    ]
    deliveries = _of_this_round(row)
    is_complete = is_late or len(deliveries) >= len(wanted)
    return is_complete and all(delivery["state"] != "pending" for delivery in deliveries)


def _unknown_callback(url: str, row: Row) -> CommandError:
    text = (
        f"a callback to {origin_of(url)} is unknown: it was not posted for {key_of(row)} with this "
        f"URL, is not called after {row['status']}, or its post has not been read; `opswatch "
        "rejections` and `opswatch doctor` show more"
    )
    return CommandError(text, EXIT_USAGE)


def _of_this_round(row: Row) -> list[Row]:
    """Return the deliveries of the end that an operation has now, and not of earlier ones."""
    current = row.get("round", 1)
    return [delivery for delivery in row["deliveries"] if delivery.get("round", 1) == current]
