"""What is counted: by the hour what has ended, and now and then what runs, waits and fails."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from opswatch.core.deliveries import DeliveryState
from opswatch.core.hosts import CircuitState, HostCircuit, circuit_state
from opswatch.core.keys import NOTHING, Key
from opswatch.core.kinds import kind_key_of
from opswatch.core.watches import FinalStatus

PARTITION = "summary"  # of the table `timeline`
MOST_LISTED = 50  # circuits, and kinds: those of which there are most
HOURS = 24  # that a summary has


class Counted(StrEnum):
    """What is counted by the hour: the fields of `HourCounts`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    STOPPED = "stopped"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class HourCounts:
    """How many operations ended in an hour, how deliveries settled, and what was rejected."""

    hour: str  # UTC, such as 2026-11-25T21
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    timed_out: int = 0
    lost: int = 0
    stopped: int = 0
    delivered: int = 0
    abandoned: int = 0
    rejected: int = 0

    @property
    def key(self) -> Key:
        """The hour, in the summary's partition."""
        return Key(PARTITION, self.hour)

    def plus(self, other: "HourCounts") -> "HourCounts":
        """Return the sums of both, under this hour."""
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "hour"
        }
        return replace(self, **sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningWatch:
    """As much of a watch as is counted."""

    key: Key
    due_at: datetime
    kind: str | None = None
    slow: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDelivery:
    """As much of a pending delivery as is counted."""

    key: Key
    round_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCircuit:
    """A callback host that is paused, or that is being probed."""

    host: str
    failures: int
    open_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCount:
    """How many operations of a kind run, and how many of them longer than 99 of 100."""

    provider: str
    kind: str  # as `kind_key` has it
    running: int
    slow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is under way and what needs attention, as a timer has counted it."""

    counted_at: datetime | None = None  # None: not yet
    watching: int = 0
    overdue: int = 0  # watches whose poll is late
    slow: int = 0  # operations that run longer than 99 of 100 of their kind
    oldest_due_at: datetime | None = None  # of the watches that are due
    pending: int = 0  # deliveries that are owed
    failing: int = 0  # deliveries that are owed after a failed attempt
    queued: dict[str, int] | None = None  # messages in each queue, hidden ones included
    poisoned: dict[str, int] | None = None
    circuits: tuple[OpenCircuit, ...] = ()
    kinds: tuple[KindCount, ...] = ()
    hours: tuple[HourCounts, ...] = ()  # the last 24, the oldest first

    @property
    def key(self) -> Key:
        """The one row `now`."""
        return Key(PARTITION, "now")


def hour_of(at: datetime) -> str:
    """Return the name of an hour."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H")


def one_more(counted: Counted, at: datetime) -> HourCounts:
    """Return the counts of an hour in which one thing happened."""
    one: dict[str, Any] = {counted.value: 1}
    return HourCounts(hour=hour_of(at), **one)


def counted_as(outcome: FinalStatus | DeliveryState) -> Counted:
    """Return how an end, or a settled delivery, is counted."""
    return Counted[outcome.name]


def last_hours(known: Iterable[HourCounts], now: datetime) -> tuple[HourCounts, ...]:
    """Return the last 24 hours, the oldest first; an hour without a row has zeros."""
    by_hour = {counts.hour: counts for counts in known}
    names = [hour_of(now - timedelta(hours=back)) for back in reversed(range(HOURS))]
    return tuple(by_hour.get(name, HourCounts(hour=name)) for name in names)


def count_running(
    summary: Summary, watches: Iterable[RunningWatch], late_before: datetime
) -> Summary:
    """Return a summary with what runs; a watch that was due before `late_before` is overdue."""
    running: Counter[tuple[str, str]] = Counter()
    slow: Counter[tuple[str, str]] = Counter()
    overdue, oldest = 0, summary.counted_at
    for watch in watches:
        parts = watch.key.row.split("~")
        provider, _, collection, operation_id, *_ = (*parts, *[NOTHING] * 4)
        key = kind_key_of(provider, collection, operation_id, watch.kind)
        kind = (key.partition, key.row)
        running[kind] += 1
        slow[kind] += bool(watch.slow)
        overdue += watch.due_at < late_before
        oldest = watch.due_at if oldest is None else min(oldest, watch.due_at)
    kinds = [
        KindCount(provider=kind[0], kind=kind[1], running=count, slow=slow[kind])
        for kind, count in running.most_common(MOST_LISTED)
    ]
    return replace(
        summary,
        watching=running.total(),
        overdue=overdue,
        slow=slow.total(),
        oldest_due_at=oldest if oldest != summary.counted_at else None,
        kinds=tuple(kinds),
    )


def count_pending(summary: Summary, pending: Iterable[PendingDelivery]) -> Summary:
    """Return a summary with the deliveries that are owed."""
    attempts = [delivery.round_attempts for delivery in pending]
    return replace(summary, pending=len(attempts), failing=sum(made > 0 for made in attempts))


def open_circuits(circuits: Iterable[HostCircuit], now: datetime) -> tuple[OpenCircuit, ...]:
    """Return the hosts whose circuit is not closed, those with most failures first."""
    listed = [
        OpenCircuit(host=each.name, failures=each.failures, open_until=each.open_until)
        for each in circuits
        if circuit_state(each, now) is not CircuitState.CLOSED
    ]
    return tuple(sorted(listed, key=lambda each: -each.failures)[:MOST_LISTED])
