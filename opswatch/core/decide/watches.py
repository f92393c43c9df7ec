"""What follows from a poll, until the watch has ended, and what is kept of it then."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from opswatch.core.limits import fit_end
from opswatch.core.model import (
    End,
    Ended,
    FinalStatus,
    Missed,
    Observation,
    Policy,
    Registration,
    Result,
    Running,
    TimelineEntry,
    Watch,
)
from opswatch.core.schedule import next_poll_at

# The last but one segment of the URLs whose bodies say a status (Azure-AsyncOperation).
_STATUS_COLLECTIONS = frozenset(
    {"operationsstatus", "operationstatus", "operationstatuses", "asyncoperations"}
)
_WORDS_OF_ARM = frozenset({FinalStatus.SUCCEEDED, FinalStatus.FAILED, FinalStatus.CANCELED})


@dataclass(frozen=True, slots=True)
class Wait:
    """The operation goes on: come again at the watch's `due_at`, under its new `seq`."""

    watch: Watch


@dataclass(frozen=True, slots=True)
class Finish:
    """The watch has ended: keep its `end` before anything follows from it."""

    watch: Watch


Action = Wait | Finish


def begin(registration: Registration, now: datetime, policy: Policy) -> Watch:
    """Return the watch of a newly registered operation, due at once."""
    callback = registration.callback_url
    return Watch(
        operation=registration.operation,
        kind=registration.kind,
        registered_at=now,
        deadline_at=now + (registration.timeout or policy.timeout),
        due_at=now,
        callbacks=(callback,) if callback else (),
        client_state=registration.client_state,
    )


def after_poll(watch: Watch, seen: Observation, now: datetime, policy: Policy) -> Action:
    """Return what follows from a poll of `watch` that showed `seen`."""
    watch = replace(watch, polls=watch.polls + 1, last_polled_at=now, late_since=None)
    match seen:
        case Ended() if not _is_doubtful(watch, seen):
            return _finish_ended(watch, seen, now)
        case Ended():
            seen = Missed(reason="an answer without a status")
            watch = replace(_missed(watch, seen, now), is_doubted=True)
        case Running():
            watch = _progressed(watch, seen)
        case Missed():
            watch = _missed(watch, seen, now)
            since = watch.unreadable_since if seen.unreadable else None  # silence is no reason
            if since and now - since >= policy.miss_grace:
                return _finish(watch, FinalStatus.LOST, now, lost_reason=seen.reason)
        case _:
            assert_never(seen)
    if now >= watch.deadline_at:
        return _finish(watch, FinalStatus.TIMED_OUT, now)
    due_at = next_poll_at(watch, seen, now, policy)
    return Wait(replace(watch, due_at=due_at, seq=watch.seq + 1))


def news_for(standing: Watch, before: Watch, polled: Watch) -> Watch | None:
    """Return `standing` with what it lacks of a poll that made `polled` of `before`; else None.

    In the same turn nothing but a receiver can have come: it joins. If another has polled
    meanwhile, his row goes on, but an end, once read, is kept, and so is a new URL: ARM may not
    tell either of them again. A watch begun after the end is another one, and lacks nothing.
    """
    if standing.end or standing.registered_at != before.registered_at:
        return None
    if standing.seq == before.seq:
        return replace(polled, callbacks=standing.callbacks)
    if polled.end and polled.end.status in _WORDS_OF_ARM:
        return replace(standing, end=polled.end, status=polled.status)
    if polled.operation.url != before.operation.url == standing.operation.url:
        return replace(standing, operation=polled.operation)
    return None


def stop(watch: Watch, now: datetime) -> Finish:
    """Return the end that a user asked for."""
    return _finish(watch, FinalStatus.STOPPED, now)


def rewake_watch(watch: Watch, now: datetime) -> Watch:
    """Return an overdue watch as due at once: under its new number, older messages are stale.

    Since when it has been late is kept: were it not, no watch would ever be later than the grace.
    """
    late_since = watch.late_since or watch.due_at
    return replace(watch, due_at=now, late_since=late_since, seq=watch.seq + 1)


def _is_doubtful(watch: Watch, seen: Ended) -> bool:
    """Tell whether an end may be a broken answer: a status URL that for once has no status.

    A second such answer in a row is believed: it is a Location-style URL under another name.
    """
    bears_status = watch.operation.collection in _STATUS_COLLECTIONS
    return seen.is_inferred and bears_status and not watch.is_doubted


def _progressed(watch: Watch, seen: Running) -> Watch:
    url = seen.next_url or watch.operation.url
    return replace(
        watch,
        operation=replace(watch.operation, url=url),
        status=seen.status,
        start_time=seen.start_time or watch.start_time,
        percent_complete=_known(seen.percent_complete, watch.percent_complete),
        unreadable_since=None,
        is_doubted=False,
    )


def _missed(watch: Watch, seen: Missed, now: datetime) -> Watch:
    """Count a miss; any answer but an unreadable one begins the grace anew, silence does not."""
    since = watch.unreadable_since
    if seen.unreadable:
        since = since or now
    elif seen.answered:
        since = None
    return replace(
        watch,
        misses=watch.misses + 1,
        last_miss=seen.reason,
        unreadable_since=since,
        is_doubted=False,
    )


def _finish_ended(watch: Watch, seen: Ended, now: datetime) -> Finish:
    watch = replace(
        watch,
        status=seen.status,
        start_time=seen.start_time or watch.start_time,
        percent_complete=_known(seen.percent_complete, watch.percent_complete),
        unreadable_since=None,
    )
    end = End(
        status=FinalStatus(seen.status),
        finished_at=now,
        end_time=seen.end_time,
        error=seen.error,
        result=seen.result,
    )
    return Finish(replace(watch, end=fit_end(end)))


def _finish(
    watch: Watch, status: FinalStatus, now: datetime, *, lost_reason: str | None = None
) -> Finish:
    return Finish(replace(watch, end=End(status=status, finished_at=now, lost_reason=lost_reason)))


def _known(new: float | None, old: float | None) -> float | None:
    return old if new is None else new


def result_of(watch: Watch, end: End) -> Result:
    """Return the record of a watch that has ended."""
    return Result(
        operation=watch.operation,
        registered_at=watch.registered_at,
        deadline_at=watch.deadline_at,
        kind=watch.kind,
        status=watch.status,
        start_time=watch.start_time,
        last_polled_at=watch.last_polled_at,
        percent_complete=watch.percent_complete,
        polls=watch.polls,
        misses=watch.misses,
        last_miss=watch.last_miss,
        callbacks=watch.callbacks,
        client_state=watch.client_state,
        end=end,
    )


def line_of(followed: Watch | Result) -> TimelineEntry:
    """Return the line of the list of operations that a watch or a result has."""
    end = followed.end
    return TimelineEntry(
        operation=followed.operation.key,
        registered_at=followed.registered_at,
        status=end.status if end else followed.status,
        kind=followed.kind,
        location=followed.operation.location,
        start_time=followed.start_time,
        end_time=end.end_time if end else None,
        finished_at=end.finished_at if end else None,
        error_code=end.error.code if end and end.error else None,
    )
