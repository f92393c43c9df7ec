"""When an operation is polled next: ARM's Retry-After, its age, and the settings' bounds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.policy import Policy
from opswatch.core.schedule import next_delay
from tests.support.builders import NOW, seconds
from tests.support.cases import cases

WIDE = Policy(poll_min=seconds(1), poll_max=timedelta(days=1))


def delay(
    age: float, asked: float | None = None, policy: Policy = WIDE, remaining: float = 7 * 86_400
) -> float:
    """Return the seconds from a poll at `age` to the next."""
    retry_after = None if asked is None else seconds(asked)
    return next_delay(seconds(age), seconds(remaining), retry_after, policy).total_seconds()


def test_gaps_double_from_five_seconds() -> None:
    ages = [0.0]
    while len(ages) < 8:
        ages.append(ages[-1] + delay(ages[-1]))
    assert ages == [0, 5, 15, 35, 75, 155, 315, 635]


@pytest.mark.parametrize(
    ("age", "gap"),
    [(0, 5), (4.9, 5), (5.1, 10), (14.9, 10), (15.1, 20), (34.9, 20), (100, 80), (-5, 5)],
)
def test_gap_depends_on_the_age(age: float, gap: float) -> None:
    assert delay(age) == gap


def test_ancient_start_has_the_longest_gap() -> None:
    age = NOW - NOW.replace(year=1601)
    assert delay(age.total_seconds(), policy=Policy()) == 300


@cases(
    "age, asked, gap",
    {
        "at least the minimum": (0, None, 10),
        "at most the maximum": (1000, None, 60),
        "between": (100, None, 60),
        "Retry-After beyond the maximum counts": (1000, 600, 600),
        "Retry-After below the minimum does not": (1000, 2, 10),
        "Retry-After is sooner than the age's gap": (1000, 20, 20),
        "whole seconds, rounded up": (0, 12.001, 13),
    },
)
def test_delay_is_within_the_settings(age: float, asked: float | None, gap: float) -> None:
    assert delay(age, asked, Policy(poll_min=seconds(10), poll_max=seconds(60))) == gap


@cases(
    "remaining, gap",
    {
        "at the deadline": (3, 3),
        "at the first second after it": (2.5, 3),
        "soon": (0.2, 1),
        "past it": (-5, 1),
        "far away": (100, 5),
    },
)
def test_last_poll_is_at_the_deadline(remaining: float, gap: float) -> None:
    assert delay(0, remaining=remaining) == gap
    assert delay(0, asked=10**9, remaining=remaining) == max(1, -(-remaining // 1))


@given(
    age=st.floats(0, 1e6),
    asked=st.none() | st.timedeltas(timedelta(microseconds=1)),
    remaining=st.floats(-10, 6e5),
    least=st.integers(1, 600),
    more=st.integers(0, 10_000),
)
def test_any_delay_is_whole_seconds_within_bounds(
    age: float, asked: timedelta | None, remaining: float, least: int, more: int
) -> None:
    policy = Policy(poll_min=seconds(least), poll_max=seconds(least + more))
    gap = next_delay(seconds(age), seconds(remaining), asked, policy)
    assert gap.microseconds == 0
    assert seconds(least) <= gap <= max(seconds(remaining + 1), seconds(least))
    if asked is None:
        assert gap <= policy.poll_max
