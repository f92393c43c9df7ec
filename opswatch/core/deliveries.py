"""Deliveries: the duty to send a result to a callback, and what follows from an attempt."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import assert_never

from opswatch.core import webhook
from opswatch.core.keys import Key, stable_random
from opswatch.core.lookahead import is_far
from opswatch.core.policy import CLOCK_SKEW, Policy, due_after
from opswatch.core.webhook import Attempt

_LOG_LENGTH = 20  # attempts
# Hexadecimal digits of a URL's digest in a key: more if another URL has the same 16.
DIGITS = (16, 64)
_JITTER = 0.2
_SECOND = timedelta(seconds=1)
_LONGEST_BUSY_DELAY = timedelta(minutes=1)
_BUSY_PARTS = 4  # a delivery that is busy waits for a quarter of the time that it has been busy


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The duty to send one result to one callback."""

    key: Key  # the operation's, `~` and a digest of the URL
    operation: Key
    delivery_id: str  # msg_…: the `webhook-id` of every attempt and every replay
    callback_url: str
    callback_on: tuple[str, ...] | None = None  # the ends that the callback gets; None: all
    round: int = 1  # of the operation
    started_at: datetime  # of the current round: a replay begins the schedule again
    next_attempt_at: datetime | None = None  # None once settled
    state: DeliveryState = DeliveryState.PENDING
    reason: str | None = None  # why it was abandoned
    attempts: int = 0
    round_attempts: int = 0  # of the current round
    seq: int = 1
    far: bool = False  # it waits without a message, for the look-ahead
    last_status_code: int | None = None
    last_error: str | None = None
    last_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    settled_at: datetime | None = None  # of the current round; records of before have None
    busy_since: datetime | None = None  # when first no attempt could be made, since the last one
    attempt_log: tuple[Attempt, ...] = ()  # oldest first

    @property
    def due_at(self) -> datetime:
        """When the next attempt is due, while the delivery is pending."""
        return self.next_attempt_at or self.started_at


@dataclass(frozen=True, slots=True)
class Retry:
    """The delivery is pending: try again at its `next_attempt_at`, under its new `seq`."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Settle:
    """The delivery has ended, delivered or abandoned."""

    delivery: Delivery


def new_delivery(
    operation: Key,
    callback_url: str,
    now: datetime,
    policy: Policy,
    *,
    of_round: int = 1,
    digits: int = DIGITS[0],
) -> Delivery:
    """Return the delivery of the result of `operation` to `callback_url`, due at once.

    Its key has so many hexadecimal `digits` of the URL's digest, and the round from the second on.
    """
    key = _delivery_key(operation, callback_url, of_round, digits)
    gap = _jittered(key, 0, policy.callback_schedule[0])
    return Delivery(
        key=key,
        operation=operation,
        delivery_id=_delivery_id(key, callback_url),
        callback_url=callback_url,
        round=of_round,
        started_at=now,
        next_attempt_at=due_after(now, gap),
        far=is_far(gap),
    )


def begin_late(delivery: Delivery, now: datetime) -> Delivery:
    """Return a new delivery as due now, if it was due before: it is not overdue from the beginning.

    Else the repair could wake it while its first wake-up is on its way.
    """
    return delivery if delivery.due_at >= now else replace(delivery, next_attempt_at=now, far=False)


def delivery_ids(operation: Key, callback_url: str, of_round: int) -> frozenset[str]:
    """Return the ids of which the delivery of a round's result to `callback_url` has one."""
    keys = (_delivery_key(operation, callback_url, of_round, digits) for digits in DIGITS)
    return frozenset(_delivery_id(key, callback_url) for key in keys)


def _delivery_key(operation: Key, callback_url: str, of_round: int, digits: int) -> Key:
    digest = sha256(callback_url.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    row = f"{operation.row}~{digest}" + (f"~{of_round}" if of_round > 1 else "")
    return Key(operation.partition, row)


def _delivery_id(key: Key, callback_url: str) -> str:
    identity = f"{key.partition}/{key.row}/{callback_url}".encode("utf-8", "surrogatepass")
    return f"msg_{sha256(identity).hexdigest()[:32]}"


def requeue(settled: Delivery, now: datetime, policy: Policy) -> Delivery:
    """Return a settled delivery as pending again: the same id, and its log continues.

    Rounds are distinguished by their start, so this one starts later even if the clock went back.
    """
    gap = _jittered(settled.key, 0, policy.callback_schedule[0])
    return replace(
        settled,
        state=DeliveryState.PENDING,
        reason=None,
        started_at=max(now, settled.started_at + timedelta(microseconds=1)),
        round_attempts=0,
        next_attempt_at=due_after(now, gap),
        busy_since=None,
        delivered_at=None,
        settled_at=None,
        far=is_far(gap),
        seq=settled.seq + 1,
    )


def start_after(pending: Delivery, left_over: Delivery) -> Delivery:
    """Return a new round that starts later than a row that is left over: so they are distinct."""
    least = left_over.started_at + timedelta(microseconds=1)
    return replace(pending, started_at=max(pending.started_at, least))


def after_attempt(
    delivery: Delivery, attempt: Attempt, reply: webhook.Reply, now: datetime, policy: Policy
) -> Retry | Settle:
    """Return what follows from an attempt that was answered with `reply`.

    After a failure the schedule decides, and later if the receiver asks for it; at the schedule's
    end the delivery is abandoned. A floor is never longer than the schedule's longest gap, so that
    a short schedule stays short; what a receiver asks for counts up to the rest of the schedule.
    """
    delivery = replace(
        delivery,
        attempts=delivery.attempts + 1,
        round_attempts=delivery.round_attempts + 1,
        last_attempt_at=attempt.at,
        last_status_code=attempt.status_code,
        last_error=attempt.error,
        # After a forced attempt, the next ones are forced, too: the schedule must end.
        busy_since=delivery.busy_since if is_forced(delivery, attempt.at, policy) else None,
        attempt_log=(*delivery.attempt_log, attempt)[-_LOG_LENGTH:],
    )
    floor = timedelta(0)
    schedule, made = policy.callback_schedule, delivery.round_attempts
    match reply:
        case webhook.Accepted():
            return Settle(
                replace(
                    delivery,
                    state=DeliveryState.DELIVERED,
                    delivered_at=now,
                    settled_at=now,
                    next_attempt_at=None,
                    busy_since=None,
                )
            )
        case webhook.Final(reason):
            return abandon(delivery, reason, now)
        case webhook.Unacceptable(reason):
            if made >= webhook.MAX_UNACCEPTABLE:
                return abandon(delivery, reason, now)
        case webhook.Failed(reason):
            floor = min(reply.floor, max(schedule))
        case _:
            assert_never(reply)
    if made >= len(schedule):
        return abandon(delivery, reason, now)
    gap = _jittered(delivery.key, delivery.attempts, schedule[made])
    rest = sum(schedule[made:], timedelta(0))
    delay = max(gap, floor, min(reply.retry_after or timedelta(0), rest))
    return _retry(delivery, due_after(now, delay), now)


def count_attempt(delivery: Delivery, attempt: Attempt) -> Delivery:
    """Return a delivery that another worker has moved on, with an attempt that was made besides."""
    if attempt in delivery.attempt_log:
        return delivery
    return replace(
        delivery,
        attempts=delivery.attempts + 1,
        round_attempts=delivery.round_attempts + 1,
        attempt_log=(*delivery.attempt_log, attempt)[-_LOG_LENGTH:],
    )


def is_same_wait(before: Delivery, current: Delivery) -> bool:
    """Return whether a row is as it was, but for attempts that were counted besides."""
    return (
        current.state is DeliveryState.PENDING
        and current.started_at == before.started_at
        and current.seq == before.seq
    )


def with_counted(decided: Delivery, before: Delivery, current: Delivery) -> Delivery:
    """Return what was `decided` of `before`, with attempts that `current` has besides."""
    more = current.attempts - before.attempts
    log = sorted({*decided.attempt_log, *current.attempt_log}, key=lambda attempt: attempt.at)
    return replace(
        decided,
        attempts=decided.attempts + more,
        round_attempts=decided.round_attempts + more,
        attempt_log=tuple(log)[-_LOG_LENGTH:],
    )


def keep_end(settled: Delivery, before: Delivery, current: Delivery) -> Delivery | None:
    """Return the row as it is now with the end of an attempt that was made of `before`.

    It waits as it does, so that its wake-up is current. None if it has another end, or is of
    another round.
    """
    if current.state is not DeliveryState.PENDING or current.started_at != before.started_at:
        return None
    return replace(
        with_counted(settled, before, current),
        seq=current.seq,
        far=current.far,
        next_attempt_at=current.next_attempt_at,
    )


def postpone(delivery: Delivery, reason: str, delay: timedelta, now: datetime) -> Retry:
    """Return a delivery that cannot be attempted now; no attempt is counted."""
    postponed = replace(delivery, last_error=reason)
    return _retry(postponed, due_after(now, max(delay, _SECOND)), now)


def _retry(delivery: Delivery, at: datetime, now: datetime) -> Retry:
    far = is_far(at - now)
    return Retry(replace(delivery, next_attempt_at=at, far=far, seq=delivery.seq + 1))


def attempt_at(delivery: Delivery, now: datetime) -> Delivery:
    """Return a pending delivery as due now, under the next `seq`: a user asks for it."""
    return replace(delivery, next_attempt_at=now, far=False, seq=delivery.seq + 1)


def wait_for_host(
    delivery: Delivery, until: datetime, now: datetime, reason: str = "its host is paused"
) -> Retry:
    """Return a delivery whose host is paused until `until`; no attempt is counted.

    Retries are spread over up to twice the pause, so that they do not return together.
    """
    pause = (until - now) * (1 + stable_random(delivery.key, delivery.seq))
    return postpone(delivery, reason, pause, now)


def wait_for_room(delivery: Delivery, until: datetime, now: datetime) -> Retry:
    """Return a delivery that found no room for an attempt; no attempt is counted.

    It waits until `until`, and longer the longer it has been busy: a thousand deliveries to a dead
    name server must not come back every few seconds for days.
    """
    since = delivery.busy_since or now
    until = max(until, now + min((now - since) / _BUSY_PARTS, _LONGEST_BUSY_DELAY))
    return wait_for_host(
        replace(delivery, busy_since=since), until, now, "no room for an attempt, or no name server"
    )


def is_forced(delivery: Delivery, now: datetime, policy: Policy) -> bool:
    """Return whether an attempt is forced: it was busy for as long as the schedule."""
    since, whole = delivery.busy_since, sum(policy.callback_schedule, timedelta(0))
    return since is not None and now - since >= whole


def has_waited_enough(delivery: Delivery, now: datetime, policy: Policy) -> bool:
    """Return whether the round is older than its whole schedule.

    Its host's pause no longer holds it then: only attempts can end it, whether the host or an
    outage of ours has delayed it.
    """
    return now - delivery.started_at > sum(policy.callback_schedule, timedelta(0)) * (1 + _JITTER)


def abandon(delivery: Delivery, reason: str, now: datetime) -> Settle:
    """Return a delivery that will not be attempted again as settled."""
    return Settle(
        replace(
            delivery,
            state=DeliveryState.ABANDONED,
            reason=reason,
            settled_at=now,
            next_attempt_at=None,
            busy_since=None,
        )
    )


def is_settled(pending: Delivery, record: Delivery) -> bool:
    """Return whether `record` is of the round that `pending` is in, or of a later one.

    A replay begins a round with the record's attempts; a row with fewer is left over, and so is one
    that began long before the record: its operation was purged and posted again.
    """
    is_left_over = pending.started_at + CLOCK_SKEW < record.started_at
    is_same = pending.started_at == record.started_at
    return is_same or is_left_over or pending.attempts < record.attempts


def _jittered(key: Key, attempt: int, gap: timedelta) -> timedelta:
    """Return `gap` ± 20 %, spread by the delivery and the attempt."""
    return gap * (1 + _JITTER * (2 * stable_random(key, attempt) - 1))
