"""Wake-ups: what one says, whether it is for a row as it is now, and when it is tried again."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from opswatch.core.keys import Key
from opswatch.core.policy import CLOCK_SKEW, USUAL_SKEW
from opswatch.core.watches import Watch

# A row may be overdue by this much before its wake-up counts as lost: longer than any step.
OVERDUE_GRACE = timedelta(minutes=2)
_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=5), timedelta(seconds=60)
# "*" would match any row: https://learn.microsoft.com/rest/api/storageservices/merge-entity
# A line break would end the header, and begin another change of the transaction that has it.
# https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]+"')


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeUp:
    """Act on the row `key` if it is at `seq`, and due when this says."""

    key: Key
    seq: int
    due_at: datetime | None = None  # of the row at `seq`; None: any
    traceparent: str | None = None  # of the span that sent it
    copy: Watch | None = None  # the watch as it was, without what a poll does not need
    etag: str | None = None  # under which the row is as the copy has it


class Fence(Enum):
    """How a wake-up compares with its row."""

    CURRENT = auto()  # act
    STALE = auto()  # a duplicate: the row has moved on
    EARLY = auto()  # the row's commit is under way, or was lost in a crash


def compare(wake: WakeUp, seq: int, due_at: datetime | None) -> Fence:
    """Compare a wake-up with the `seq` and the due time of its row.

    1. Two workers act on seq 3, and each sends seq 4 with the due time that it has decided on.
    2. One of them commits. Only its successor has the due time of the row.
    """
    if wake.seq > seq:
        return Fence.EARLY
    if wake.seq < seq or wake.due_at not in (None, due_at):
        return Fence.STALE
    return Fence.CURRENT


def is_etag(text: str) -> bool:
    """Return whether a text can be the ETag of one version of one row."""
    return _ETAG.fullmatch(text) is not None


def retry_delay(wake: WakeUp, now: datetime) -> timedelta | None:
    """Return when to try a wake-up again that could not be acted on; None: leave it to the repair.

    Each delay is about as long as all before it. A wake-up that claims to be due later was forged:
    clocks do not differ by so much.
    """
    if wake.due_at is None:
        return None
    overdue = now - wake.due_at
    if not -CLOCK_SKEW < overdue < OVERDUE_GRACE:
        return None
    return min(max(overdue, _FIRST_RETRY), _LAST_RETRY)


def is_given_up(due_at: datetime, now: datetime) -> bool:
    """Return whether a row that was committed just now may have lost its message as too early.

    The clock of the worker that gave it up may be fast, or that of this one slow.
    """
    return now - due_at >= OVERDUE_GRACE - USUAL_SKEW
