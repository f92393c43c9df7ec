"""The look-ahead: which messages look, where a look begins, and when it ends or is dead."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.lookahead import (
    NEAR,
    PERIOD,
    REACH,
    Look,
    LookAhead,
    after_look,
    begin,
    following,
    is_covered,
    is_dead,
    is_far,
    is_for,
    key_of,
    looks_from,
    may_overlap,
    restart,
    trusted_until,
)
from tests.support.builders import NOW, at, seconds
from tests.support.cases import cases

STATE = LookAhead(table="watches", seq=7, due_at=NOW, looked_until=at(5))


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, False), (14.9, False), (15, False), (15.001, True), (600, True)]
)
def test_waits_beyond_fifteen_seconds_are_far(delay: float, expected: bool) -> None:
    assert is_far(seconds(delay)) is expected


@pytest.mark.parametrize(
    ("delay", "expected"), [(-9, True), (10, True), (12, True), (12.001, False)]
)
def test_late_commit_may_have_been_passed(delay: float, expected: bool) -> None:
    assert is_covered(at(delay), NOW) is expected


def test_far_wait_is_seen_by_a_look_before_it_is_due() -> None:
    """The longest time between two looks, and a commit that is as late as is not noticed."""
    assert NEAR - REACH >= PERIOD
    assert REACH >= PERIOD


def test_first_look_covers_waits_of_a_slow_clock() -> None:
    begun = begin("watches", NOW)
    assert (begun.seq, begun.due_at, begun.looked_until) == (1, NOW, at(-60))
    assert begun.key == key_of("watches") != key_of("outbox")


@cases(
    "look, expected",
    {
        "the next one": (Look(7, NOW), True),
        "of a worker that lost": (Look(7, at(0.1)), False),
        "a duplicate": (Look(6, NOW), False),
        "after a look that was cut off": (Look(8, at(5)), True),
        "after several": (Look(11, at(30)), True),
        "forged: farther than time has gone": (Look(7 + 19, at(30)), False),
        "forged: as far as a number goes": (Look(2**62, at(30)), False),
        "forged: of a later day": (Look(2**62, at(86_400)), False),
        "of a second chain": (Look(8, at(0.1)), False),
        "of a second chain, two ahead": (Look(9, at(-2.9)), False),
        "by a clock that is 2 s slow": (Look(8, at(3)), True),
        "by a clock that is fast": (Look(8, at(85)), True),
        "by a clock that is slow": (Look(8, at(-30)), True),
    },
)
def test_message_looks_once(look: Look, expected: bool) -> None:
    assert is_for(look, STATE, at(30)) is expected


def test_chain_is_followed_through_hours_of_uncommitted_looks() -> None:
    look = STATE.next_look
    for _ in range(5000):
        look = following(look, look.due_at + seconds(0.5))
        assert is_for(look, STATE, look.due_at)


@pytest.mark.parametrize("seq", [7, 8, 10])
def test_look_begins_at_the_cursor(seq: int) -> None:
    assert looks_from(Look(seq, at(60)), STATE, at(60)) == STATE.looked_until


def test_look_after_an_outage_begins_where_the_one_before_ended() -> None:
    assert looks_from(Look(11, at(60)), STATE, at(60)) == at(65)
    assert looks_from(Look(11, at(-60)), STATE, at(60)) == STATE.looked_until


def test_look_after_an_outage_begins_with_what_was_missed() -> None:
    """Looks that could not read the rows, or not send the wake-ups, have noted it."""
    missed = replace(STATE, missed_from=at(30))
    assert looks_from(Look(11, at(60)), missed, at(60)) == at(30)
    assert looks_from(Look(11, at(60)), replace(STATE, missed_from=at(70)), at(60)) == at(65)
    after = after_look(missed, Look(12, at(65)), at(70), waits=True)
    assert after is not None
    assert after.missed_from is None


def test_forged_due_time_skips_no_row() -> None:
    assert looks_from(Look(11, at(59)), STATE, NOW) == STATE.looked_until


def test_following_look_is_five_seconds_later() -> None:
    assert following(Look(7, NOW), at(3)) == Look(8, at(8))


def test_look_moves_the_cursor_on() -> None:
    after = after_look(STATE, Look(8, at(5)), at(10), waits=True)
    assert after == replace(STATE, seq=8, due_at=at(5), looked_until=at(10))


@pytest.mark.parametrize(("late", "catches_up"), [(65, False), (66, True)])
def test_look_that_is_late_has_caught_up(late: float, catches_up: bool) -> None:
    """The rows that it wakes may be overdue, and need time."""
    after = after_look(STATE, Look(8, at(late)), at(late) + REACH, waits=True)
    assert after is not None
    expected = (at(late), STATE.looked_until) if catches_up else (None, None)
    assert (after.caught_up_at, after.caught_up_from) == expected
    later = after_look(after, Look(9, at(late + 5)), at(late + 5) + REACH, waits=True)
    assert later is not None
    assert (later.caught_up_at, later.caught_up_from) == expected


def test_cursor_never_moves_back() -> None:
    """The clock of this worker is slow."""
    after = after_look(STATE, Look(8, at(5)), at(-9), waits=True)
    assert after is not None
    assert after.looked_until == STATE.looked_until


@pytest.mark.parametrize(("ahead", "expected"), [(70, 70), (70.1, -60), (3600, -60)])
def test_cursor_of_a_wrong_clock_says_nothing(ahead: float, expected: float) -> None:
    state = replace(STATE, looked_until=at(ahead))
    assert looks_from(Look(7, NOW), state, NOW) == at(expected)
    after = after_look(state, Look(8, at(5)), at(10), waits=True)
    assert after is not None
    assert after.looked_until == at(ahead if expected > 0 else 10)


def test_thirteenth_empty_look_ends_it() -> None:
    state: LookAhead | None = STATE
    looks = 0
    while state is not None:
        looks += 1
        state = after_look(state, Look(state.seq + 1, NOW), NOW, waits=False)
    assert looks == 13


def test_anything_to_wait_for_begins_the_count_again() -> None:
    state = after_look(replace(STATE, empty_looks=12), Look(8, NOW), NOW, waits=True)
    assert state is not None
    assert state.empty_looks == 0


@pytest.mark.parametrize(
    ("late", "expected"), [(-60, False), (-60.1, True), (15, False), (15.1, True)]
)
def test_late_look_is_dead(late: float, expected: bool) -> None:
    """So is one that is due much later than the next look can be."""
    assert is_dead(STATE, at(late)) is expected


@pytest.mark.parametrize(("late", "expected"), [(4, False), (4.1, True)])
def test_first_look_is_dead_sooner(late: float, expected: bool) -> None:
    """Its message is sent after its row, so a crash in between leaves none."""
    assert is_dead(begin("watches", NOW), at(late)) is expected


@pytest.mark.parametrize(("late", "expected"), [(115, False), (115.1, True), (-60.1, True)])
def test_look_of_a_queue_that_is_behind_is_dead_later(late: float, expected: bool) -> None:
    assert is_dead(STATE, at(late), timedelta(seconds=100)) is expected


def test_restart_looks_from_where_it_stopped() -> None:
    restarted = restart(replace(STATE, empty_looks=3), at(60))
    assert restarted == replace(STATE, seq=8, due_at=at(60), looked_until=at(5))
    assert not is_for(Look(7, NOW), restarted, at(60))
    assert is_for(restarted.next_look, restarted, at(60))


def test_trusted_look_ahead_outlives_its_trust() -> None:
    """A worker has read the row just before the first of thirteen empty looks.

    The last of them must see every row that is committed while the worker trusts it, by a commit
    that is as slow as is not noticed.
    """
    last_look = 12 * PERIOD
    assert NOW + last_look - trusted_until(NOW) >= timedelta(seconds=15)


@pytest.mark.parametrize(
    ("ahead", "took", "expected"), [(0, 2.5, False), (0, 2.6, True), (1, 0, True)]
)
def test_other_look_may_be_under_way(ahead: int, took: float, expected: bool) -> None:
    assert may_overlap(Look(7 + ahead, NOW), STATE, seconds(took)) is expected
