"""When an operation is polled next: by ARM's word, by its age, within the settings' bounds."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.policy import Policy
from opswatch.core.schedule import next_poll_at
from tests.support.builders import NOW, SILENCE, at, missed, running, seconds, watch

FAR = at(7 * 86_400)
WIDE = Policy(poll_min=seconds(1), poll_max=timedelta(days=1))


def delay(
    age: float,
    asked: float | None = None,
    policy: Policy = WIDE,
    deadline_at: datetime = FAR,
) -> float:
    """Return the seconds from a poll at this age to the next."""
    now = at(age)
    seen = running(retry_after=None if asked is None else seconds(asked))
    value = watch(registered_at=NOW, deadline_at=deadline_at)
    return (next_poll_at(value, seen, now, policy) - now).total_seconds()


def test_gaps_double_from_five_seconds() -> None:
    ages = [0.0]
    while len(ages) < 8:
        ages.append(ages[-1] + delay(ages[-1]))
    assert ages == [0, 5, 15, 35, 75, 155, 315, 635]


@pytest.mark.parametrize(
    ("age", "gap"),
    [(0, 5), (4.9, 5), (5.1, 10), (14.9, 10), (15.1, 20), (34.9, 20), (100, 80), (-5, 5)],
)
def test_a_gap_is_that_of_the_age(age: float, gap: float) -> None:
    assert delay(age) == gap


def test_the_age_counts_from_arms_start_where_it_is_known() -> None:
    late = watch(registered_at=at(100), start_time=NOW)
    assert next_poll_at(late, running(), at(100), WIDE) == at(180)
    never_told = watch(registered_at=at(100))
    assert next_poll_at(never_told, running(), at(100), WIDE) == at(105)


def test_a_start_long_ago_is_no_trouble() -> None:
    value = watch(start_time=NOW.replace(year=1601))
    assert next_poll_at(value, running(), NOW, Policy()) == at(300)


@pytest.mark.parametrize("seen", [running(), missed(500), missed(404), SILENCE])
def test_a_miss_waits_as_long_as_a_poll(seen: object) -> None:
    assert next_poll_at(watch(), seen, NOW, WIDE) == at(5)  # type: ignore[arg-type]  # either


@cases(
    "age, asked, gap",
    {
        "no less than the least": (0, None, 10),
        "no more than the most": (1000, None, 60),
        "between": (100, None, 60),
        "Retry-After beyond the most still counts": (1000, 600, 600),
        "Retry-After below the least does not": (1000, 2, 10),
        "Retry-After comes sooner than the age": (1000, 20, 20),
        "whole seconds, rounded up": (0, 12.001, 13),
    },
)
def test_the_bounds_are_kept(age: float, asked: float | None, gap: float) -> None:
    assert delay(age, asked, Policy(poll_min=seconds(10), poll_max=seconds(60))) == gap


@cases(
    "left, gap",
    {
        "at the deadline": (3, 3),
        "at the first second after it": (2.5, 3),
        "soon": (0.2, 1),
        "past it": (-5, 1),
        "far away": (100, 5),
    },
)
def test_the_last_poll_is_made_at_the_deadline(left: float, gap: float) -> None:
    assert delay(0, deadline_at=at(left)) == gap
    assert delay(0, asked=10**9, deadline_at=at(left)) == max(1, -(-left // 1))


@given(
    age=st.floats(0, 1e6),
    asked=st.none() | st.timedeltas(timedelta(microseconds=1)),
    left=st.floats(-10, 6e5),
    least=st.integers(1, 600),
    more=st.integers(0, 10_000),
)
def test_a_delay_is_whole_seconds_within_its_bounds(
    age: float, asked: timedelta | None, left: float, least: int, more: int
) -> None:
    now = at(age)
    value = watch(deadline_at=now + seconds(left))
    policy = Policy(poll_min=seconds(least), poll_max=seconds(least + more))
    gap = next_poll_at(value, running(retry_after=asked), now, policy) - now
    assert gap.microseconds == 0
    assert seconds(least) <= gap <= max(seconds(left + 1), seconds(least))
    if asked is None:
        assert gap <= policy.poll_max
