"""The look-ahead: how the waits that are rows alone become wake-ups, a few seconds before.

One look-ahead a live table. Each look covers the rows that fall due until `looked_until`, its
cursor; the next look begins there, however late it is.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from opswatch.core.keys import Key
from opswatch.core.policy import CLOCK_SKEW, USUAL_SKEW

NEAR = timedelta(seconds=15)  # the longest wait that is a message
PERIOD = timedelta(seconds=5)  # between two looks
# How far a look reaches. A row that waits longer than `NEAR` can be committed 5 s late, and still
# be seen by the first look that covers it.
REACH = timedelta(seconds=10)
ENDS_AFTER = 12  # looks in a row that found nothing to wait for
_CRASHES = 3  # looks in a row that may have been cut off before they had sent anything
_BEGINS_WITHIN = timedelta(seconds=4)  # the first look; later, its message was never sent
_DEAD_AFTER = timedelta(seconds=15)  # a look is late by more: its message was lost
_TRUST = timedelta(seconds=30)  # a look-ahead that has just been busy runs for longer than this


@dataclass(frozen=True, slots=True)
class Look:
    """What the message of a look-ahead says."""

    seq: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAhead:
    """The chain that finds the far waits of one live table."""

    table: str
    due_at: datetime  # the next look
    looked_until: datetime  # every far row that is due before has got its wake-up
    seq: int = 1
    empty_looks: int = 0  # in a row: there was nothing to wait for
    missed_from: datetime | None = None  # since when rows are due that a failed look did not wake
    # The last look that came so late that it woke overdue rows: when, and from which due time on.
    caught_up_at: datetime | None = None
    caught_up_from: datetime | None = None

    @property
    def key(self) -> Key:
        """The key of its row."""
        return key_of(self.table)

    @property
    def next_look(self) -> Look:
        """The look that is due."""
        return Look(self.seq, self.due_at)


def key_of(table: str) -> Key:
    """Return the key of the look-ahead over a live table."""
    return Key("lookahead", table)


def is_far(delay: timedelta) -> bool:
    """Return whether a wait is its row alone, without a message."""
    return delay > NEAR


def is_covered(due_at: datetime, now: datetime) -> bool:
    """Return whether a look may have passed a row that was committed just now: it was late.

    The clock of the worker that looked may be fast, or that of this one slow.
    """
    return due_at - now <= REACH + USUAL_SKEW


def begin(table: str, now: datetime) -> LookAhead:
    """Return a look-ahead that looks at once; the clock of the committing worker may be slow."""
    return LookAhead(table=table, due_at=now, looked_until=now - CLOCK_SKEW)


def is_for(look: Look, state: LookAhead, now: datetime) -> bool:
    """Return whether to look, and not to drop the message.

    1. Look 7 sends the message of look 8 first of all, and its worker crashes. The row is at 7.
    2. Look 8 comes 5 s later, and looks in the place of look 7.

    Of two messages of look 8, only one has the due time that was committed.

    A look that is ahead of the row is due at least one period later for each look between them,
    and does not arrive before it is due. Any other one was forged, or its worker's clock is wrong:
    then the look-ahead is dead, and is restarted.

    One that is due at about the same time as the row's own look is of a second chain, which began
    when the answer to a send got lost. Both would go on beside each other, each seen as a crash.
    """
    ahead = look.seq - state.seq
    if ahead <= 0:
        return ahead == 0 and look.due_at == state.due_at
    later = look.due_at - state.due_at
    if look.due_at > now + CLOCK_SKEW or abs(later) < PERIOD - USUAL_SKEW:
        return False
    return ahead <= (later + CLOCK_SKEW) / PERIOD


def looks_from(look: Look, state: LookAhead, now: datetime) -> datetime:
    """Return since when the rows are due that a look covers: the cursor.

    If more than a few looks were not committed, that is an outage and no crash, and each has sent
    its wake-ups, or has left a note of those that it could not send. To send all of them again,
    each time, would multiply the polls.
    """
    cursor = state.looked_until
    if _is_of_wrong_clock(cursor, now + REACH):
        return now - CLOCK_SKEW
    if look.seq <= state.seq + _CRASHES:
        return cursor
    unsent_from = max(cursor, min(look.due_at, now) - PERIOD + REACH)
    return min(unsent_from, state.missed_from or unsent_from)


def may_overlap(look: Look, state: LookAhead, took: timedelta) -> bool:
    """Return whether another look may have been under way while this one read the rows.

    `state` is that of when it began: it is ahead of it, or was so slow that the following began.
    """
    return look.seq != state.seq or took > PERIOD / 2


def following(look: Look, now: datetime) -> Look:
    """Return the look after `look`."""
    return Look(look.seq + 1, now + PERIOD)


def after_look(
    state: LookAhead, following: Look, until: datetime, *, waits: bool
) -> LookAhead | None:
    """Return the look-ahead after a look until `until`, with the `following` one; None: it ends.

    `waits` says whether there is any far row. It ends a minute after there was none, which is what
    `trusted_until` counts on.
    """
    cursor = state.looked_until
    empty_looks = 0 if waits else state.empty_looks + 1
    if empty_looks > ENDS_AFTER:
        return None
    looked_at = until - REACH
    is_late = waits and cursor < looked_at - CLOCK_SKEW
    return replace(
        state,
        seq=following.seq,
        due_at=following.due_at,
        looked_until=until if _is_of_wrong_clock(cursor, until) else max(until, cursor),
        empty_looks=empty_looks,
        missed_from=None,
        caught_up_at=looked_at if is_late else state.caught_up_at,
        caught_up_from=cursor if is_late else state.caught_up_from,
    )


def _is_of_wrong_clock(cursor: datetime, until: datetime) -> bool:
    """Return whether a cursor is later than a look that reaches until `until` can have set it."""
    return cursor > until + CLOCK_SKEW


def is_dead(state: LookAhead, now: datetime, lag: timedelta = timedelta(0)) -> bool:
    """Return whether its message was lost, or the clock of the worker that sent it was wrong.

    If its queue is behind by `lag`, a look may be late by that and still come. To send another one
    each time would make all of them stale, and none would look.
    """
    late = now - state.due_at
    return late > (_DEAD_AFTER if state.seq > 1 else _BEGINS_WITHIN) + lag or late < -CLOCK_SKEW


def restart(state: LookAhead, now: datetime) -> LookAhead:
    """Return a dead look-ahead as looking at once, from its cursor."""
    return replace(state, seq=state.seq + 1, due_at=now, empty_looks=0)


def trusted_until(now: datetime) -> datetime:
    """Return until when a look-ahead without empty looks needs no check.

    1. A worker reads the row: no empty look. It commits far waits for 30 s without another check.
    2. The look-ahead needs 13 empty looks to end, 5 s after each other. The last of them sees
       every row that was committed in these 30 s.
    """
    return now + _TRUST
