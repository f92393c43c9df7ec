"""Watches and results: what is known of an operation, and what follows from a poll of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from opswatch.core.arm import ArmError, Ended, Missed, Observation, Running
from opswatch.core.intake import Registration
from opswatch.core.keys import Key, Operation
from opswatch.core.limits import cut_error
from opswatch.core.policy import Policy
from opswatch.core.redact import redact_text
from opswatch.core.schedule import next_delay
from opswatch.core.texts import JsonText, cut

# The last segment but one of URLs whose bodies bear a status (Azure-AsyncOperation).
_STATUS_COLLECTIONS = frozenset(
    {"operationsstatus", "operationstatus", "operationstatuses", "asyncoperations"}
)
_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999
_SHORT = 512  # characters: an error's JSON of this length is within every limit


class FinalStatus(StrEnum):
    """How a watch ends: ARM's three words, and ours."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    TIMED_OUT = "TimedOut"
    LOST = "Lost"
    STOPPED = "Stopped"


_ARM_STATUSES = frozenset({FinalStatus.SUCCEEDED, FinalStatus.FAILED, FinalStatus.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of a watch, kept from the instant at which a poll saw it."""

    status: FinalStatus
    finished_at: datetime
    end_time: datetime | None = None  # ARM's
    error: ArmError | None = None
    result: JsonText | None = None
    lost_reason: str | None = None
    truncated: bool = False  # a value was longer than a table property, and was cut


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFacts:
    """What is known of an operation, while it is watched and afterwards."""

    operation: Operation
    registered_at: datetime
    deadline_at: datetime
    kind: str | None = None
    status: str | None = None  # ARM's word as last seen
    start_time: datetime | None = None
    last_polled_at: datetime | None = None
    percent_complete: float | None = None
    polls: int = 0
    misses: int = 0
    last_miss: str | None = None
    callbacks: tuple[str, ...] = ()
    client_state: JsonText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Our commitment to follow one operation to its end."""

    facts: OperationFacts
    due_at: datetime
    seq: int = 1
    first_due_at: datetime | None = None  # since then overdue: the repair has moved `due_at`
    unreadable_since: datetime | None = None  # no answer but 401, 403, 404 and 410 since then
    is_doubted: bool = False  # the last poll showed an end that the next one has to confirm
    end: End | None = None  # kept; its consequences are under way

    @property
    def key(self) -> Key:
        """The key of the operation."""
        return self.facts.operation.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The record of an ended operation; it never changes."""

    facts: OperationFacts
    end: End

    @property
    def key(self) -> Key:
        """The key of the operation."""
        return self.facts.operation.key

    @property
    def duration_seconds(self) -> float | None:
        """How long the operation took according to ARM; None if ARM gave no usable times."""
        start, end = self.facts.start_time, self.end.end_time
        if start is None or end is None or end < start:
            return None
        return (end - start).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """An entry in the index of operations by time: what a list shows."""

    operation: Key
    registered_at: datetime
    status: str | None = None
    kind: str | None = None
    location: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    finished_at: datetime | None = None
    error_code: str | None = None

    @property
    def key(self) -> Key:
        """The UTC date, then the time of registration: newest first within the date."""
        inverted = _LAST_MILLISECOND - int(self.registered_at.timestamp() * 1000)
        row = f"{inverted:015d}~{self.operation.partition}~{self.operation.row}"
        return Key(self.registered_at.date().isoformat(), row)


@dataclass(frozen=True, slots=True)
class Wait:
    """The operation is running: poll again at the watch's `due_at`, under its new `seq`."""

    watch: Watch


@dataclass(frozen=True, slots=True)
class Finish:
    """The watch has ended: keep its `end` before anything follows from it."""

    watch: Watch


Action = Wait | Finish


def begin(registration: Registration, now: datetime, policy: Policy) -> Watch:
    """Return the watch of a newly registered operation, due at once."""
    callback = registration.callback_url
    facts = OperationFacts(
        operation=registration.operation,
        kind=registration.kind,
        registered_at=now,
        deadline_at=now + (registration.timeout or policy.timeout),
        callbacks=(callback,) if callback else (),
        client_state=registration.client_state,
    )
    return Watch(facts=facts, due_at=now)


def after_poll(watch: Watch, seen: Observation, now: datetime, policy: Policy) -> Action:
    """Return what follows from a poll of `watch` that showed `seen`."""
    facts = replace(watch.facts, polls=watch.facts.polls + 1, last_polled_at=now)
    watch = replace(watch, facts=facts, first_due_at=None)
    match seen:
        case Ended(is_inferred=True) if (
            # A broken answer of a URL that bears a status? A second one in a row is believed: the
            # URL is Location-style under another name.
            facts.operation.collection in _STATUS_COLLECTIONS and not watch.is_doubted
        ):
            seen = Missed(reason="an answer without a status")
            watch = replace(_missed(watch, seen, now), is_doubted=True)
        case Ended():
            return Finish(_ended(watch, seen, now))
        case Running():
            url = seen.next_url or facts.operation.url
            facts = replace(
                _with_times(facts, seen),
                operation=replace(facts.operation, url=url),
                status=seen.status,
            )
            watch = replace(watch, facts=facts, unreadable_since=None, is_doubted=False)
        case Missed():
            seen = replace(seen, reason=redact_text(seen.reason))
            watch = _missed(watch, seen, now)
            since = watch.unreadable_since if seen.unreadable else None  # silence is no reason
            if since and now - since >= policy.miss_grace:
                lost = End(status=FinalStatus.LOST, finished_at=now, lost_reason=seen.reason)
                return Finish(replace(watch, end=lost))
        case _:
            assert_never(seen)
    facts = watch.facts
    if now >= facts.deadline_at:
        return Finish(replace(watch, end=End(status=FinalStatus.TIMED_OUT, finished_at=now)))
    age = now - (facts.start_time or facts.registered_at)
    delay = next_delay(age, facts.deadline_at - now, seen.retry_after, policy)
    return Wait(replace(watch, due_at=now + delay, seq=watch.seq + 1))


def _missed(watch: Watch, seen: Missed, now: datetime) -> Watch:
    """Count a miss; a readable answer ends the grace, silence neither begins nor ends it."""
    since = watch.unreadable_since
    if seen.unreadable:
        since = since or now
    elif seen.answered:
        since = None
    facts = replace(watch.facts, misses=watch.facts.misses + 1, last_miss=seen.reason)
    return replace(watch, facts=facts, unreadable_since=since, is_doubted=False)


def _ended(watch: Watch, seen: Ended, now: datetime) -> Watch:
    """Keep the end, each of its values cut to what a table property can hold."""
    error, result = seen.error, seen.result and cut(seen.result)
    if error and len(error.json) > _SHORT:
        error = cut_error(error)
    end = End(
        status=FinalStatus(seen.status),
        finished_at=now,
        end_time=seen.end_time,
        error=error,
        result=result,
        truncated=(error, result) != (seen.error, seen.result),
    )
    facts = replace(_with_times(watch.facts, seen), status=seen.status)
    return replace(watch, facts=facts, end=end, unreadable_since=None)


def _with_times(facts: OperationFacts, seen: Running | Ended) -> OperationFacts:
    percent = seen.percent_complete
    return replace(
        facts,
        start_time=seen.start_time or facts.start_time,
        percent_complete=facts.percent_complete if percent is None else percent,
    )


def merge_after_conflict(current: Watch, before: Watch, polled: Watch) -> Watch | None:
    """Merge a poll into the watch that another worker committed first; None if nothing is missing.

    The poll made `polled` of `before`; `current` is the row now.

    1. Same `seq`: only a receiver can have joined. The poll's outcome is written, with it.
    2. Another worker has polled: its row is kept, but an end that only this poll read is added,
       and so is a new URL: ARM may not show either of them again.
    3. A watch that began after the end is another one, and misses nothing.
    """
    if current.end or current.facts.registered_at != before.facts.registered_at:
        return None
    ours, theirs = polled.facts, current.facts
    if current.seq == before.seq:
        return replace(polled, facts=replace(ours, callbacks=theirs.callbacks))
    if polled.end and polled.end.status in _ARM_STATUSES:
        return replace(current, facts=replace(theirs, status=ours.status), end=polled.end)
    if ours.operation.url != before.facts.operation.url == theirs.operation.url:
        return replace(current, facts=replace(theirs, operation=ours.operation))
    return None


def stop(watch: Watch, now: datetime) -> Watch:
    """Return `watch` with the end that a user asked for."""
    return replace(watch, end=End(status=FinalStatus.STOPPED, finished_at=now))


def reschedule_overdue(watch: Watch, now: datetime) -> Watch:
    """Return an overdue watch as due at once, under a new `seq`: older messages are stale.

    `first_due_at` stays what it was, or no watch would ever be later than the grace.
    """
    first_due_at = watch.first_due_at or watch.due_at
    return replace(watch, due_at=now, first_due_at=first_due_at, seq=watch.seq + 1)


def timeline_entry(facts: OperationFacts, end: End | None) -> TimelineEntry:
    """Return the timeline's entry of an operation."""
    return TimelineEntry(
        operation=facts.operation.key,
        registered_at=facts.registered_at,
        status=end.status.value if end else facts.status,
        kind=facts.kind,
        location=facts.operation.location,
        start_time=facts.start_time,
        end_time=end.end_time if end else None,
        finished_at=end.finished_at if end else None,
        error_code=end.error.code if end and end.error else None,
    )
