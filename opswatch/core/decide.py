"""The verbs: what follows from a message's fence number, from a poll, and from an attempt."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from hashlib import sha256
from typing import assert_never

from opswatch.core import webhook
from opswatch.core.limits import fit_end
from opswatch.core.model import (
    Attempt,
    Delivery,
    DeliveryState,
    End,
    Ended,
    FinalStatus,
    Key,
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
from opswatch.core.timestamps import whole_seconds
from opswatch.core.wire import MAX_DELAY, delivery_id, delivery_key

# By which a row may be overdue before its wake-up counts as lost: longer than the slowest step.
OVERDUE_GRACE = timedelta(minutes=2)
NOT_YET_DELAY = timedelta(seconds=5)
# The last but one segment of the URLs whose bodies say a status (Azure-AsyncOperation).
_STATUS_COLLECTIONS = frozenset(
    {"operationsstatus", "operationstatus", "operationstatuses", "asyncoperations"}
)
_LOG_LENGTH = 20
_JITTER = 0.2


# --- the fence


class Fence(Enum):
    """What a message's number means beside the row's."""

    WORK = auto()
    DROP = auto()  # the row has moved on: a duplicate
    NOT_YET = auto()  # the row's commit is under way, or was cut off: come again


def fence(message_seq: int, row_seq: int) -> Fence:
    """Compare a wake-up's number with that of its live row."""
    if message_seq == row_seq:
        return Fence.WORK
    return Fence.DROP if message_seq < row_seq else Fence.NOT_YET


# --- watches


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


# --- results and their deliveries


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


def owe(operation: Key, callback_url: str, now: datetime, policy: Policy) -> Delivery:
    """Return the new duty to tell `callback_url` how `operation` ended."""
    key = delivery_key(operation, callback_url)
    return Delivery(
        key=key,
        operation=operation,
        delivery_id=delivery_id(key, callback_url),
        callback_url=callback_url,
        started_at=now,
        next_attempt_at=now + _jittered(key, 0, policy.callback_schedule[0]),
    )


def replay(settled: Delivery, now: datetime, policy: Policy) -> Delivery:
    """Return a settled delivery as owed once more: the same id, and its log goes on.

    Rounds are told apart by their beginnings, so this one begins later, whatever the clock says.
    """
    began = max(now, settled.started_at + timedelta(microseconds=1))
    return replace(
        settled,
        state=DeliveryState.PENDING,
        reason=None,
        started_at=began,
        round_attempts=0,
        next_attempt_at=now + _jittered(settled.key, 0, policy.callback_schedule[0]),
        delivered_at=None,
        seq=settled.seq + 1,
    )


@dataclass(frozen=True, slots=True)
class Retry:
    """The delivery is still owed: come again at its `next_attempt_at`, under its new `seq`."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Settle:
    """The delivery has ended, delivered or abandoned."""

    delivery: Delivery


def after_attempt(
    delivery: Delivery, attempt: Attempt, reply: webhook.Reply, now: datetime, policy: Policy
) -> Retry | Settle:
    """Return what follows from an attempt that was answered with `reply`."""
    delivery = _logged(delivery, attempt)
    match reply:
        case webhook.Accepted():
            return Settle(_delivered(delivery, now))
        case webhook.Final(reason):
            return abandon(delivery, reason)
        case webhook.Unacceptable(reason) if delivery.round_attempts >= webhook.MAX_UNACCEPTABLE:
            return abandon(delivery, reason)
        case webhook.Unacceptable(reason, retry_after):
            failed = webhook.Failed(reason, retry_after=retry_after)
            return _retry(delivery, failed, now, policy)
        case webhook.Failed():
            return _retry(delivery, reply, now, policy)
        case _:
            assert_never(reply)


def postpone(delivery: Delivery, reason: str, delay: timedelta, now: datetime) -> Retry:
    """Return a delivery that could not be attempted at all; no attempt is counted."""
    next_attempt_at = now + timedelta(seconds=max(1, whole_seconds(delay)))
    return Retry(
        replace(
            delivery,
            last_error=reason,
            next_attempt_at=next_attempt_at,
            seq=delivery.seq + 1,
        )
    )


def wait_for_host(delivery: Delivery, until: datetime, now: datetime) -> Retry:
    """Return a delivery whose host is not to be disturbed before `until`; no attempt is counted.

    Those that wait come back one after another, for as long again: most of them to wait once more.
    """
    pause = (until - now) * (1 + _lot(delivery.key, delivery.seq))
    return postpone(delivery, "its host is given a pause", pause, now)


def has_waited_enough(delivery: Delivery, now: datetime, policy: Policy) -> bool:
    """Tell whether a round is older than its whole schedule: no pause of its host holds it then.

    Its attempts alone end it, whatever has kept it so long: the host, or an outage of ours.
    """
    return now - delivery.started_at > sum(policy.callback_schedule, timedelta(0)) * (1 + _JITTER)


def abandon(delivery: Delivery, reason: str) -> Settle:
    """Return a delivery that will not be attempted again as settled."""
    return Settle(
        replace(delivery, state=DeliveryState.ABANDONED, reason=reason, next_attempt_at=None)
    )


def is_settled(owed: Delivery, record: Delivery) -> bool:
    """Tell whether `record` is of the round that `owed` is in, or of a later one.

    A replay begins a round of its own with the record's attempts; a row with fewer is left over.
    """
    return owed.started_at == record.started_at or owed.attempts < record.attempts


def rewake_delivery(delivery: Delivery, now: datetime) -> Delivery:
    """Return an overdue delivery as due at once: under its new number, older ones are stale."""
    return replace(delivery, next_attempt_at=now, seq=delivery.seq + 1)


def _logged(delivery: Delivery, attempt: Attempt) -> Delivery:
    return replace(
        delivery,
        attempts=delivery.attempts + 1,
        round_attempts=delivery.round_attempts + 1,
        last_attempt_at=attempt.at,
        last_status_code=attempt.status_code,
        last_error=attempt.error,
        attempt_log=(*delivery.attempt_log, attempt)[-_LOG_LENGTH:],
    )


def _delivered(delivery: Delivery, now: datetime) -> Delivery:
    return replace(delivery, state=DeliveryState.DELIVERED, delivered_at=now, next_attempt_at=None)


def _retry(
    delivery: Delivery, failed: webhook.Failed, now: datetime, policy: Policy
) -> Retry | Settle:
    """Wait as the schedule says, longer where the receiver asks; at its end, abandon.

    A floor is never longer than the schedule's longest gap, so that a short schedule stays short;
    what a receiver asks for is honoured up to what remains of the schedule.
    """
    schedule, made = policy.callback_schedule, delivery.round_attempts
    if made >= len(schedule):
        return abandon(delivery, failed.reason)
    gap = _jittered(delivery.key, delivery.attempts, schedule[made])
    floor = min(failed.floor, max(schedule))
    asked = min(failed.retry_after or timedelta(0), sum(schedule[made:], timedelta(0)), MAX_DELAY)
    delay = timedelta(seconds=whole_seconds(max(gap, floor, asked)))
    return Retry(replace(delivery, next_attempt_at=now + delay, seq=delivery.seq + 1))


def _jittered(key: Key, attempt: int, gap: timedelta) -> timedelta:
    """Return `gap` ± 20 %, spread by the delivery and the attempt, and the same each time."""
    return gap * (1 + _JITTER * (2 * _lot(key, attempt) - 1))


def _lot(key: Key, number: int) -> float:
    """Return what stands for chance, from 0 to 1: another for each key, and the same each time."""
    digest = sha256(f"{key.partition}/{key.row}/{number}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32
