"""What follows from an attempt, until the delivery is settled, and from a wish to replay it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import assert_never

from opswatch.core import webhook
from opswatch.core.model import Attempt, Delivery, DeliveryState, Key, Policy
from opswatch.core.timestamps import whole_seconds
from opswatch.core.wire import MAX_DELAY, delivery_id, delivery_key

_LOG_LENGTH = 20
_JITTER = 0.2


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
