"""Watches and results: what is known of an operation, from its post to its end."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from opswatch.core.arm_errors import ArmError
from opswatch.core.intake import Registration
from opswatch.core.keys import Key, Operation, stable_random
from opswatch.core.lookahead import is_far
from opswatch.core.observations import UrlStyle
from opswatch.core.policy import CLOCK_SKEW, Policy
from opswatch.core.poll_log import PollEntry
from opswatch.core.redact import redact_text
from opswatch.core.schedule import (
    Expectation,
    ExpectedEnd,
    expect_unknown,
    next_delay,
)
from opswatch.core.texts import MAX_PROPERTY, JsonText, cut, to_json, utf16_length

_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999
_MOST_EARLIER_ENDS = 20  # of a result: the newest
_LISTED, _LONGEST_READ = 200, 2000  # characters of a message that a list shows, and that are read
# A start is not believed if it is longer before the registration (ARM keeps a status for about a
# day), or later than now by more than clocks differ.
_LONGEST_BEFORE = timedelta(days=7)


class FinalStatus(StrEnum):
    """How a watch ends: ARM's three words, and ours."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    TIMED_OUT = "TimedOut"
    LOST = "Lost"
    STOPPED = "Stopped"


ARM_STATUSES = frozenset({FinalStatus.SUCCEEDED, FinalStatus.FAILED, FinalStatus.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of a watch, kept from the instant at which a poll saw it."""

    status: FinalStatus
    finished_at: datetime
    end_time: datetime | None = None  # ARM's
    error: ArmError | None = None
    result: JsonText | None = None
    lost_reason: str | None = None
    last_status: str | None = None  # of `TimedOut`: ARM's word as last seen
    truncated: bool = False  # a value was longer than a table property, and was cut


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFacts:
    """What is known of an operation, while it is watched and afterwards."""

    operation: Operation
    registered_at: datetime
    deadline_at: datetime
    kind: str | None = None
    resource_id: str | None = None  # that the operation works on
    status: str | None = None  # ARM's word as last seen
    start_time: datetime | None = None
    last_polled_at: datetime | None = None
    percent_complete: float | None = None
    polls: int = 0
    misses: int = 0
    last_miss: str | None = None
    poll_log: tuple[PollEntry, ...] | None = None  # of this round
    callbacks: tuple[str, ...] = ()
    callback_on: dict[str, tuple[str, ...]] | None = (
        None  # URL -> the ends that it gets, if not all
    )
    client_state: JsonText | None = None
    round: int = 1  # one higher each time that the operation is watched again

    def began_at(self, now: datetime) -> datetime:
        """Return the instant from which ages count: when the operation began, if that is known."""
        start = self.start_time
        if start is None or start < self.registered_at - _LONGEST_BEFORE:
            return self.registered_at
        return start if start <= now + CLOCK_SKEW else self.registered_at

    def wants(self, callback_url: str, status: FinalStatus) -> bool:
        """Return whether a callback gets this end."""
        ends = (self.callback_on or {}).get(callback_url)
        return status is not FinalStatus.STOPPED and (ends is None or status.value in ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierEnd:
    """An end that a later round has replaced."""

    status: FinalStatus
    finished_at: datetime
    lost_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a watch came to the URL that it polls, and what that URL has shown itself to be."""

    url_style: UrlStyle | None = None
    posted_url: str | None = None  # if another one is polled now: to go back to
    posted_style: UrlStyle | None = None
    dead_url: str | None = None  # that an answer led to, and that could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Our commitment to follow one operation to its end."""

    facts: OperationFacts
    due_at: datetime
    seq: int = 1
    far: bool = False  # it waits without a message, for the look-ahead
    last_running_at: datetime | None = None  # the last poll that saw it running
    postponed_since: datetime | None = None  # its due time, if ARM's budget has postponed the poll
    expected: ExpectedEnd | None = None
    slow: bool | None = None  # whether it runs longer than 99 of 100 of its kind, if that is known
    unreadable_since: datetime | None = None  # no answer but 401, 403, 404 and 410 since then
    doubted: str | None = None  # what the last poll showed: an end, if the next one shows it, too
    route: Route = Route()
    end: End | None = None  # kept; its consequences are under way

    @property
    def key(self) -> Key:
        """The key of the operation."""
        return self.facts.operation.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The record of an ended operation; only the end of a later round replaces it."""

    facts: OperationFacts
    end: End
    earlier_ends: tuple[EarlierEnd, ...] = ()  # oldest first

    @property
    def key(self) -> Key:
        """The key of the operation."""
        return self.facts.operation.key

    @property
    def duration_seconds(self) -> float | None:
        """How long the operation took according to ARM; None if ARM gave no usable times."""
        return _duration_seconds(self.facts, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """An entry in the index of operations by time: what a list shows.

    Entries of before some of its fields existed have None there.
    """

    operation: Key
    registered_at: datetime
    operation_id: str | None = None
    provider: str | None = None
    resource_id: str | None = None
    status: str | None = None
    kind: str | None = None
    location: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    polls: int | None = None
    misses: int | None = None
    error_code: str | None = None
    error_code_inner: str | None = None
    error_message: str | None = None  # its beginning, free of secrets

    @property
    def key(self) -> Key:
        """The UTC date, then the time of registration: newest first within the date."""
        return newest_first(self.registered_at, self.operation)


def newest_first(at: datetime, named: Key) -> Key:
    """Return the key of what happened to `named`: its date, then later instants first."""
    row = f"{timeline_row(at)}~{named.partition}~{named.row}"
    return Key(at.astimezone(UTC).date().isoformat(), row)


def begin(
    registration: Registration,
    now: datetime,
    policy: Policy,
    ended: Result | None = None,
    expectation: Expectation | None = None,
) -> Watch:
    """Return the watch of a registered operation.

    It is due at once, so that a wrong URL shows and a short operation is found, unless the post's
    `startTime` says when the operation began: then its plan decides. If it has `ended` before, it
    is a new round, due at once: what the first post said is kept.
    """
    facts = OperationFacts(
        operation=registration.operation,
        registered_at=now,
        deadline_at=now + (registration.timeout or policy.timeout),
        kind=registration.kind,
        resource_id=registration.resource_id,
        start_time=registration.start_time,
        client_state=registration.client_state,
    )
    if ended is not None:
        first = ended.facts
        facts = replace(
            facts,
            registered_at=first.registered_at,
            kind=first.kind,
            resource_id=first.resource_id,
            start_time=first.start_time or facts.start_time,
            client_state=first.client_state,
            callbacks=first.callbacks,
            callback_on=first.callback_on,
            round=first.round + 1,
        )
    if ended is None or not registration.is_default_callback:
        facts = add_callback(facts, registration.callback_url, registration.callback_on)
    watch = Watch(facts=facts, due_at=now)
    began_at = facts.began_at(now)
    if ended is not None or began_at != facts.start_time:
        return watch
    delay = delay_to_next_poll(
        watch, began_at, now=began_at, policy=policy, expectation=expectation
    )
    due_at = max(now, began_at + delay)
    return replace(watch, due_at=due_at, far=is_far(due_at - now))


def can_be_watched_again(result: Result) -> bool:
    """Return whether an operation may be watched again: not after a word of ARM's."""
    return result.end.status not in ARM_STATUSES


def add_callback(
    facts: OperationFacts, callback_url: str | None, ends: tuple[str, ...] | None
) -> OperationFacts:
    """Return `facts` with one more callback, which gets `ends`; a known one changes nothing."""
    if callback_url is None or callback_url in facts.callbacks:
        return facts
    callback_on = facts.callback_on
    if ends is not None:
        callback_on = {**(callback_on or {}), callback_url: ends}
    return replace(facts, callbacks=(*facts.callbacks, callback_url), callback_on=callback_on)


def join_callbacks(facts: OperationFacts, earlier: OperationFacts) -> OperationFacts:
    """Return `facts` with as many callbacks of `earlier` as fit the row."""
    for url in earlier.callbacks:
        joined = add_callback(facts, url, (earlier.callback_on or {}).get(url))
        facts = joined if has_room(joined) else facts
    return facts


def has_room(facts: OperationFacts) -> bool:
    """Return whether the callbacks fit into the columns of a row."""
    columns = (to_json(facts.callbacks), to_json(facts.callback_on))
    return all(utf16_length(column) <= MAX_PROPERTY for column in columns)


def replace_result(earlier: Result, later: Result) -> Result:
    """Return the result of a later round, with the ends of the rounds before it."""
    end = earlier.end
    replaced = EarlierEnd(
        status=end.status, finished_at=end.finished_at, lost_reason=end.lost_reason
    )
    earlier_ends = (*earlier.earlier_ends, replaced)[-_MOST_EARLIER_ENDS:]
    return replace(later, earlier_ends=earlier_ends)


def delay_to_next_poll(
    watch: Watch,
    began_at: datetime,
    *,
    now: datetime,
    policy: Policy,
    expectation: Expectation | None,
    least: timedelta | None = None,
) -> timedelta:
    """Return the time to the next poll of a watch whose operation began at `began_at`."""
    plan = (expectation or expect_unknown(policy)).plan
    jitter = 2 * stable_random(watch.key, watch.seq) - 1
    remaining = watch.facts.deadline_at - now
    return next_delay(now - began_at, remaining, least, plan, policy, jitter=jitter)


def postpone(watch: Watch, until: datetime, now: datetime) -> Watch:
    """Return `watch` with its poll postponed for ARM's budget, under the next `seq`.

    The wait does not count towards the grace of unreadable answers: it brings none. (The due time
    is by another worker's clock, and may be later than `until`: the grace gets no shorter.)
    """
    unreadable_since = watch.unreadable_since
    if unreadable_since is not None:
        unreadable_since += max(until - watch.due_at, timedelta(0))
    return replace(
        watch,
        due_at=until,
        far=is_far(until - now),
        seq=watch.seq + 1,
        postponed_since=watch.postponed_since or watch.due_at,
        unreadable_since=unreadable_since,
    )


def ended_as(
    watch: Watch, status: FinalStatus, now: datetime, *, lost_reason: str | None = None
) -> Watch:
    """Keep an end that is not ARM's."""
    last = watch.facts.status if status is FinalStatus.TIMED_OUT else None
    end = End(status=status, finished_at=now, lost_reason=lost_reason, last_status=last)
    return replace(watch, end=end)


def stop(watch: Watch, now: datetime) -> Watch:
    """Return `watch` with the end that a user asked for.

    It no longer waits, so the repair finds what an interruption leaves, and not the next poll,
    which may be due hours later.
    """
    if watch.far:
        watch = replace(watch, due_at=now, far=False)
    return ended_as(watch, FinalStatus.STOPPED, now)


def timeline_row(registered_at: datetime) -> str:
    """Return how the row keys of entries registered at an instant begin: inverted milliseconds."""
    return f"{_LAST_MILLISECOND - int(registered_at.timestamp() * 1000):015d}"


def _listed(message: str) -> str:
    """Return as much of a message as a list shows, with a mark if that is not all."""
    text = redact_text(cut(message, _LONGEST_READ))
    shown = cut(text, _LISTED)
    return text if shown == text else f"{cut(text, _LISTED - 1)}…"


def timeline_entry(facts: OperationFacts, end: End | None) -> TimelineEntry:
    """Return the timeline's entry of an operation."""
    error = end.error if end else None
    message = error.message if error else end.lost_reason if end else None
    return TimelineEntry(
        operation=facts.operation.key,
        registered_at=facts.registered_at,
        operation_id=facts.operation.operation_id,
        provider=facts.operation.provider,
        resource_id=facts.resource_id,
        status=end.status.value if end else facts.status,
        kind=facts.kind,
        location=facts.operation.location,
        start_time=facts.start_time,
        end_time=end.end_time if end else None,
        finished_at=end.finished_at if end else None,
        duration_seconds=_duration_seconds(facts, end) if end else None,
        polls=facts.polls,
        misses=facts.misses,
        error_code=error.code if error else None,
        error_code_inner=error.code_inner if error else None,
        error_message=_listed(message) if message else None,
    )


def _duration_seconds(facts: OperationFacts, end: End) -> float | None:
    start = facts.start_time
    if start is None or end.end_time is None or end.end_time < start:
        return None
    return (end.end_time - start).total_seconds()
