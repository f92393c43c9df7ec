"""What follows from a poll of a watch, and from a conflict between two workers that polled it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import assert_never

from opswatch.core.arm import PolledUrl, says_nothing
from opswatch.core.http import is_outage
from opswatch.core.keys import Operation
from opswatch.core.limits import cut_error
from opswatch.core.lookahead import is_far
from opswatch.core.observations import Ended, Missed, Observation, Running
from opswatch.core.policy import Policy
from opswatch.core.poll_log import MISSED, READ, PollEntry, add_poll
from opswatch.core.redact import redact_text
from opswatch.core.schedule import Expectation, backoff, expected_end, is_slow
from opswatch.core.texts import cut, one_line
from opswatch.core.watches import (
    ARM_STATUSES,
    End,
    FinalStatus,
    OperationFacts,
    Route,
    Watch,
    delay_to_next_poll,
    ended_as,
)

_DEAD_ENDS = frozenset({400, 403, 404, 410})  # codes after which a followed URL is left
_DEAD_END_POLLS = 4  # it is tried again once in so many polls: a 404 may pass
_SHORT = 512  # characters: an error's JSON of this length is within every limit


@dataclass(frozen=True, slots=True)
class Wait:
    """The operation is running: poll again at the watch's `due_at`, under its new `seq`."""

    watch: Watch


@dataclass(frozen=True, slots=True)
class Finish:
    """The watch has ended: keep its `end` before anything follows from it."""

    watch: Watch


Action = Wait | Finish


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
    facts = replace(
        watch.facts,
        polls=watch.facts.polls + 1,
        last_polled_at=now,
        poll_log=_logged(watch, seen, now),
    )
    match seen:
        case Ended() if seen.inferred_from in (None, watch.doubted):
            return Finish(_ended(watch, facts, seen, now))
        case Ended():
            reason = f"to be confirmed: {seen.inferred_from}"
            reason += f": {seen.error.message}" if seen.error and seen.error.message else ""
            doubted = seen.inferred_from
            seen = Missed(reason=one_line(redact_text(reason)), status_code=HTTPStatus.OK)
            watch = replace(_missed(watch, facts, seen, now), doubted=doubted)
        case Running():
            watch = _progressed(watch, facts, seen, now)
        case Missed():
            watch = _missed(watch, facts, seen, now)
            since = watch.unreadable_since if seen.unreadable else None  # silence is no reason
            if since and now - since >= policy.miss_grace:
                return Finish(ended_as(watch, FinalStatus.LOST, now, lost_reason=seen.reason))
        case _:
            assert_never(seen)
    if now >= facts.deadline_at and (was_doubted or watch.doubted is None):
        return Finish(ended_as(watch, FinalStatus.TIMED_OUT, now))
    return _wait(watch, seen, now, policy, expectation)


def shows_change(before: Watch, after: Watch) -> bool:
    """Return whether a poll has shown something else than the poll before it.

    A change is a new status or URL, a miss, the first answer after a miss, or an end.
    """
    is_running = after.end is None and after.last_running_at == after.facts.last_polled_at
    was_running = before.last_running_at == before.facts.last_polled_at
    is_same = (before.facts.status, before.route) == (after.facts.status, after.route)
    return not (is_running and was_running and is_same)


def _logged(watch: Watch, seen: Observation, now: datetime) -> tuple[PollEntry, ...]:
    """Return the watch's log with what a poll has shown; an end to be confirmed is a miss."""
    facts, code, shown = watch.facts, HTTPStatus.OK.value, READ
    match seen:
        case Missed():
            code, shown = seen.status_code or 0, MISSED
        case Ended() if seen.inferred_from not in (None, watch.doubted):
            shown = MISSED
        case Running() | Ended() if seen.status and seen.status != facts.status:
            shown = seen.status
    seconds = (now - facts.registered_at).total_seconds()
    return add_poll(facts.poll_log or (), seconds, shown, code)


def _wait(
    watch: Watch,
    seen: Running | Missed,
    now: datetime,
    policy: Policy,
    expectation: Expectation | None,
) -> Wait:
    """Return the watch of a running operation with its next poll, and when its end is expected."""
    began_at, least = watch.facts.began_at(now), seen.retry_after
    expected, slow = watch.expected, watch.slow
    if isinstance(seen, Missed):
        silence = now - (watch.last_running_at or watch.facts.registered_at)
        least = max(least or timedelta(0), backoff(silence, policy))
    elif expectation is not None:
        age = now - began_at
        expected = expected_end(expectation, age, began_at) or expected
        if not slow and (is_slow_now := is_slow(expectation, age)) is not None:
            slow = is_slow_now
    delay = delay_to_next_poll(
        watch, began_at, now=now, policy=policy, expectation=expectation, least=least
    )
    waiting = replace(
        watch,
        due_at=now + delay,
        far=is_far(delay),
        seq=watch.seq + 1,
        expected=expected,
        slow=slow,
    )
    return Wait(waiting)


def _progressed(watch: Watch, facts: OperationFacts, seen: Running, now: datetime) -> Watch:
    """Note what a running operation has shown, and follow the URL that it has given, if any."""
    route, url = watch.route, facts.operation.url
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
    elif route.url_style is not seen.style:
        route = replace(route, url_style=seen.style)
    return replace(
        watch,
        facts=_with_times(facts, seen, facts.operation.at(url)),
        route=route,
        postponed_since=None,
        last_running_at=now,
        unreadable_since=None,
        doubted=None,
    )


def _missed(watch: Watch, facts: OperationFacts, seen: Missed, now: datetime) -> Watch:
    """Count a miss, and go back to the posted URL if a followed one cannot be read.

    A readable answer ends the grace of unreadable ones; silence neither begins nor ends it. An end
    that an answer has named, and that waits to be confirmed, survives silence and outages.
    """
    since = watch.unreadable_since
    if seen.unreadable:
        since = since or now
    elif seen.answered:
        since = None
    route = watch.route
    if route.posted_url is not None and seen.status_code in _DEAD_ENDS:
        dead_url = facts.operation.url
        facts = replace(facts, operation=facts.operation.at(route.posted_url))
        route = Route(url_style=route.posted_style, dead_url=dead_url)
    code = seen.status_code
    is_down = code is None or is_outage(code)
    return replace(
        watch,
        facts=replace(facts, misses=facts.misses + 1, last_miss=seen.reason),
        route=route,
        postponed_since=None,
        unreadable_since=since,
        doubted=watch.doubted if is_down and not says_nothing(watch.doubted) else None,
    )


def _ended(watch: Watch, facts: OperationFacts, seen: Ended, now: datetime) -> Watch:
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
    facts = _with_times(facts, seen, facts.operation)
    return replace(watch, facts=facts, end=end, postponed_since=None, unreadable_since=None)


def _with_times(
    facts: OperationFacts, seen: Running | Ended, operation: Operation
) -> OperationFacts:
    resource_id = facts.resource_id or seen.resource_id
    start_time = seen.start_time or facts.start_time
    percent = facts.percent_complete if seen.percent_complete is None else seen.percent_complete
    known = (facts.operation, facts.status, facts.resource_id, facts.start_time)
    if (operation, seen.status, resource_id, start_time) == known and (
        percent == facts.percent_complete
    ):
        return facts  # as after most polls
    return replace(
        facts,
        operation=operation,
        status=seen.status,
        resource_id=resource_id,
        start_time=start_time,
        percent_complete=percent,
    )


def is_same_watch(one: Watch, other: Watch) -> bool:
    """Return whether neither of two watches of an operation began after the end of the other."""
    ours, theirs = one.facts, other.facts
    return (ours.registered_at, ours.round) == (theirs.registered_at, theirs.round)


def is_same_poll(one: Watch, other: Watch) -> bool:
    """Return whether a poll of one watch counts for the other: the URL was the same, and known."""
    is_same_url = (one.facts.operation, one.route) == (other.facts.operation, other.route)
    return is_same_url and is_same_watch(one, other)


def is_unpolled(current: Watch, before: Watch) -> bool:
    """Return whether no worker has polled a watch, or seen its end, since it was `before`."""
    return current.seq == before.seq and is_same_watch(current, before) and current.end is None


def merge_after_conflict(current: Watch, before: Watch, polled: Watch) -> Watch | None:
    """Merge a poll into the watch that another worker committed first; None if nothing is missing.

    The poll made `polled` of `before`; `current` is the row now.

    1. Another worker has polled: its row is kept, but an end that only this poll read is added
       with its times, and so is a new URL, or what the URL has shown itself to be: ARM may not
       show any of them again.
    2. A watch that began after the end is another one, and misses nothing.
    """
    ours, theirs = polled.facts, current.facts
    if current.end or not is_same_watch(current, polled):
        return None
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
