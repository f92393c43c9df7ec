"""Watches and results: what is known of an operation, and what follows from a poll of it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import assert_never

from opswatch.core.arm import (
    Ended,
    Missed,
    Observation,
    PolledUrl,
    Running,
    UrlStyle,
    says_nothing,
)
from opswatch.core.arm_errors import ArmError
from opswatch.core.intake import Registration
from opswatch.core.keys import Key, Operation, stable_random
from opswatch.core.limits import cut_error
from opswatch.core.policy import Policy
from opswatch.core.redact import redact_text
from opswatch.core.schedule import (
    Expectation,
    ExpectedEnd,
    backoff,
    expect_unknown,
    expected_end,
    is_slow,
    next_delay,
)
from opswatch.core.texts import MAX_PROPERTY, JsonText, cut, one_line, to_json, utf16_length

_DEAD_ENDS = frozenset({400, 403, 404, 410})  # codes after which a followed URL is left
_DEAD_END_POLLS = 4  # it is tried again once in so many polls: a 404 may pass
_BUSY = frozenset({408, 429})
_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999
_MOST_EARLIER_ENDS = 20  # of a result: the newest
_SHORT = 512  # characters: an error's JSON of this length is within every limit
# A start is not believed if it is longer before the registration (ARM keeps a status for about a
# day), or later than now by more than clocks differ.
_LONGEST_BEFORE, CLOCK_SKEW = timedelta(days=7), timedelta(minutes=1)


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
    first_due_at: datetime | None = None  # since then overdue: the repair has moved `due_at`
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
        return Key(self.registered_at.astimezone(UTC).date().isoformat(), row)


@dataclass(frozen=True, slots=True)
class Wait:
    """The operation is running: poll again at the watch's `due_at`, under its new `seq`."""

    watch: Watch


@dataclass(frozen=True, slots=True)
class Finish:
    """The watch has ended: keep its `end` before anything follows from it."""

    watch: Watch


Action = Wait | Finish


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
    delay = _next_delay(watch, began_at, now=began_at, policy=policy, expectation=expectation)
    return replace(watch, due_at=max(now, began_at + delay))


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


def polled_url(watch: Watch, endpoint: str) -> PolledUrl:
    """Return the URL to poll, and what is known of it."""
    operation = watch.facts.operation
    return PolledUrl(
        url=operation.url,
        endpoint=endpoint,
        style=watch.route.url_style,
        api_version=operation.api_version,
    )


def after_poll(
    watch: Watch,
    seen: Observation,
    now: datetime,
    policy: Policy,
    expectation: Expectation | None = None,
) -> Action:
    """Return what follows from a poll of `watch` that showed `seen`.

    `expectation` is that of the operation's kind, None if the kind is unknown. An end that was
    inferred at the deadline gets one more poll, to be confirmed.
    """
    was_doubted = watch.doubted is not None
    facts = replace(watch.facts, polls=watch.facts.polls + 1, last_polled_at=now)
    watch = replace(watch, facts=facts, first_due_at=None, postponed_since=None)
    match seen:
        case Ended() if seen.inferred_from in (None, watch.doubted):
            return Finish(_ended(watch, seen, now))
        case Ended():
            reason = f"to be confirmed: {seen.inferred_from}"
            reason += f": {seen.error.message}" if seen.error and seen.error.message else ""
            doubted = seen.inferred_from
            seen = Missed(reason=one_line(redact_text(reason)), status_code=HTTPStatus.OK)
            watch = replace(_missed(watch, seen, now), doubted=doubted)
        case Running():
            watch = replace(_progressed(watch, seen), last_running_at=now)
        case Missed():
            watch = _missed(watch, seen, now)
            since = watch.unreadable_since if seen.unreadable else None  # silence is no reason
            if since and now - since >= policy.miss_grace:
                return Finish(_end(watch, FinalStatus.LOST, now, lost_reason=seen.reason))
        case _:
            assert_never(seen)
    facts = watch.facts
    if now >= facts.deadline_at and (was_doubted or watch.doubted is None):
        return Finish(_end(watch, FinalStatus.TIMED_OUT, now))
    began_at, least = facts.began_at(now), seen.retry_after
    if isinstance(seen, Missed):
        silence = now - (watch.last_running_at or facts.registered_at)
        least = max(least or timedelta(0), backoff(silence, policy))
    elif expectation is not None:
        age = now - began_at
        slow = watch.slow or is_slow(expectation, age)
        watch = replace(
            watch,
            expected=expected_end(expectation, age, began_at) or watch.expected,
            slow=watch.slow if slow is None else slow,
        )
    delay = _next_delay(
        watch, began_at, now=now, policy=policy, expectation=expectation, least=least
    )
    return Wait(replace(watch, due_at=now + delay, seq=watch.seq + 1))


def _next_delay(
    watch: Watch,
    began_at: datetime,
    *,
    now: datetime,
    policy: Policy,
    expectation: Expectation | None,
    least: timedelta | None = None,
) -> timedelta:
    plan = (expectation or expect_unknown(policy)).plan
    jitter = 2 * stable_random(watch.key, watch.seq) - 1
    remaining = watch.facts.deadline_at - now
    return next_delay(now - began_at, remaining, least, plan, policy, jitter=jitter)


def postpone(watch: Watch, until: datetime) -> Watch:
    """Return `watch` with its poll postponed for ARM's budget, under the next `seq`.

    The wait does not count towards the grace of unreadable answers: it brings none.
    """
    unreadable_since = watch.unreadable_since
    if unreadable_since is not None:
        unreadable_since += until - watch.due_at
    return replace(
        watch,
        due_at=until,
        seq=watch.seq + 1,
        postponed_since=watch.postponed_since or watch.due_at,
        unreadable_since=unreadable_since,
    )


def _progressed(watch: Watch, seen: Running) -> Watch:
    """Note what a running operation has shown, and follow the URL that it has given, if any."""
    facts, route = _with_times(watch.facts, seen), watch.route
    url = facts.operation.url
    is_dead_end = seen.next_url == route.dead_url and facts.polls % _DEAD_END_POLLS != 0
    if seen.next_url and not is_dead_end:
        route = replace(
            route,
            url_style=seen.next_style,
            posted_url=route.posted_url or url,
            posted_style=route.posted_style if route.posted_url else seen.style,
        )
        if seen.next_url == route.posted_url:
            route = Route(url_style=route.posted_style, dead_url=route.dead_url)
        url = seen.next_url
    else:
        route = replace(route, url_style=seen.style)
    facts = replace(facts, operation=facts.operation.at(url), status=seen.status)
    return replace(watch, facts=facts, route=route, unreadable_since=None, doubted=None)


def _missed(watch: Watch, seen: Missed, now: datetime) -> Watch:
    """Count a miss, and go back to the posted URL if a followed one cannot be read.

    A readable answer ends the grace of unreadable ones; silence neither begins nor ends it. An end
    that an answer has named, and that waits to be confirmed, survives silence and outages.
    """
    since = watch.unreadable_since
    if seen.unreadable:
        since = since or now
    elif seen.answered:
        since = None
    facts, route = watch.facts, watch.route
    if route.posted_url is not None and seen.status_code in _DEAD_ENDS:
        dead_url = facts.operation.url
        facts = replace(facts, operation=facts.operation.at(route.posted_url))
        route = Route(url_style=route.posted_style, dead_url=dead_url)
    code = seen.status_code
    is_outage = code is None or code in _BUSY or code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return replace(
        watch,
        facts=replace(facts, misses=facts.misses + 1, last_miss=seen.reason),
        route=route,
        unreadable_since=since,
        doubted=watch.doubted if is_outage and not says_nothing(watch.doubted) else None,
    )


def _ended(watch: Watch, seen: Ended, now: datetime) -> Watch:
    """Keep ARM's end, each of its values cut to what a table property can hold."""
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


def _end(
    watch: Watch, status: FinalStatus, now: datetime, *, lost_reason: str | None = None
) -> Watch:
    """Keep an end that is not ARM's."""
    last = watch.facts.status if status is FinalStatus.TIMED_OUT else None
    end = End(status=status, finished_at=now, lost_reason=lost_reason, last_status=last)
    return replace(watch, end=end)


def _with_times(facts: OperationFacts, seen: Running | Ended) -> OperationFacts:
    percent = seen.percent_complete
    return replace(
        facts,
        resource_id=facts.resource_id or seen.resource_id,
        start_time=seen.start_time or facts.start_time,
        percent_complete=facts.percent_complete if percent is None else percent,
    )


def merge_after_conflict(current: Watch, before: Watch, polled: Watch) -> Watch | None:
    """Merge a poll into the watch that another worker committed first; None if nothing is missing.

    The poll made `polled` of `before`; `current` is the row now.

    1. Same `seq`: only a receiver can have joined. The poll's outcome is written, with it.
    2. Another worker has polled: its row is kept, but an end that only this poll read is added
       with its times, and so is a new URL, or what the URL has shown itself to be: ARM may not
       show any of them again.
    3. A watch that began after the end is another one, and misses nothing.
    """
    ours, theirs = polled.facts, current.facts
    if current.end or (theirs.registered_at, theirs.round) != (ours.registered_at, ours.round):
        return None
    if current.seq == before.seq:
        facts = replace(ours, callbacks=theirs.callbacks, callback_on=theirs.callback_on)
        return replace(polled, facts=facts)
    if polled.end and polled.end.status in ARM_STATUSES:
        facts = replace(
            theirs,
            status=ours.status,
            start_time=ours.start_time or theirs.start_time,
            percent_complete=ours.percent_complete,
            resource_id=theirs.resource_id or ours.resource_id,
        )
        return replace(current, facts=facts, end=polled.end)
    if ours.operation.url != before.facts.operation.url == theirs.operation.url:
        facts = replace(theirs, operation=ours.operation)
        return replace(current, facts=facts, route=polled.route)
    style, is_known = polled.route.url_style, current.route.url_style is not None
    if style is not None and not is_known and ours.operation.url == theirs.operation.url:
        return replace(current, route=replace(current.route, url_style=style))
    return None


def stop(watch: Watch, now: datetime) -> Watch:
    """Return `watch` with the end that a user asked for."""
    return _end(watch, FinalStatus.STOPPED, now)


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
