"""Plans: the polls that pay, for what is known of a kind."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.durations import EDGES, History, distribution
from opswatch.core.policy import Policy
from opswatch.core.schedule import (
    AGES,
    Expectation,
    Plan,
    expect,
    expect_unknown,
    expected_end,
    is_slow,
    make_plan,
)
from tests.support.builders import seconds

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def history(*durations: float) -> History:
    known = History()
    for duration in durations:
        known = known.add(duration, duration, NOW)
    return known


def plan(*durations: float, cost: float = 2.0, shortest: float = 1.0) -> Plan:
    return make_plan(distribution(history(*durations).counts(NOW)), cost, shortest)


def polls(of: Plan, until: float) -> list[float]:
    age, ages = 0.0, []
    while age < until:
        age += of.gap(age)
        ages.append(age)
    return ages


def expectation(*durations: float) -> Expectation:
    return expect(history(*durations), NOW, Policy())


def test_unknown_kind_is_polled_by_the_prior() -> None:
    ages = polls(plan(), 490)
    assert 2 <= ages[0] <= 10
    assert len(ages) < 20  # every 30 s makes 17
    assert ages[-1] - ages[-2] > 3 * ages[0]


def test_gaps_are_short_only_near_the_usual_end() -> None:
    ages = polls(plan(*[500.0 + i for i in range(100)]), 600)
    assert ages[0] > 60  # one early, in case it fails
    assert ages[1] > 300
    assert len(ages) < 25


def test_quick_kind_is_polled_once() -> None:
    assert len(polls(plan(*[0.5] * 100), 1)) == 1


def test_dearer_poll_is_made_less_often() -> None:
    durations = [float(d) for d in range(20, 400, 5)]
    few, some, many = (len(polls(plan(*durations, cost=cost), 400)) for cost in (8, 2, 0.5))
    assert few < some < many


@pytest.mark.parametrize("shortest", [1.0, 2.0, 5.0, 15.0, 30.0])
def test_planned_gaps_keep_the_floor(shortest: float) -> None:
    ages = polls(plan(*[40.0] * 50, shortest=shortest), 3600)
    assert min(b - a for a, b in pairwise(ages)) >= shortest


def test_planned_gaps_keep_the_maximum() -> None:
    durations = distribution(history(*[4000.0] * 50).counts(NOW))
    of = make_plan(durations, 2.0, longest=60.0)
    assert max(b - a for a, b in pairwise(of.following)) > 0
    assert all(f - a <= 60 or a > 3000 for a, f in zip(AGES, of.following, strict=True))


@pytest.mark.parametrize("age", [AGES[-1] - 1, AGES[-1], EDGES[-1] + 1, 7 * 86_400.0, 1e9])
def test_age_beyond_the_data_keeps_a_long_gap(age: float) -> None:
    for of in (plan(), plan(*[1.0] * 100), plan(*[100_000.0] * 100)):
        assert of.gap(age) > 300


def test_negative_age_counts_as_zero() -> None:
    assert plan().gap(-1e6) == plan().gap(0)


@given(
    durations=st.lists(st.floats(0.01, 1e6), max_size=5),
    cost=st.floats(0.1, 100),
    shortest=st.integers(1, 60),
    longest=st.integers(60, 3600),
)
def test_each_planned_poll_is_later_than_its_age(
    durations: list[float], cost: float, shortest: int, longest: int
) -> None:
    known = distribution(history(*durations).counts(NOW))
    following = make_plan(known, cost, shortest, longest).following
    assert all(after > age for age, after in zip(AGES, following, strict=True))


def test_plan_is_cheaper_than_its_neighbours() -> None:
    """The dynamic programming finds a minimum: no other single gap at any age costs less."""
    durations = distribution(history(*[30.0, 35.0, 60.0, 90.0] * 5).counts(NOW))
    best = make_plan(durations, 2.0)
    least = expected_cost(best.following, durations.ended_by)
    for i in range(0, 60, 7):
        for shift in (-3, -1, 1, 3):
            j = AGES.index(best.following[i]) + shift
            if j > i:
                other = [*best.following[:i], AGES[j], *best.following[i + 1 :]]
                assert expected_cost(other, durations.ended_by, start=i) >= least[i] - 1e-9


def expected_cost(following, ended_by, start: int | None = None):  # type: ignore[no-untyped-def]
    """Return E[2 · polls + lag + the penalty for a late poll] from each age, or from `start`."""
    ended = [ended_by(age) for age in AGES]
    missed = [ended_by(age - 28) for age in AGES]
    worth = [0.0] * len(AGES)
    for i in range(len(AGES) - 2, -1, -1):
        j = AGES.index(following[i])
        lag = sum(
            (AGES[k] - AGES[k - 1]) * ((ended[k] + ended[k - 1]) / 2 - ended[i])
            for k in range(i + 1, j + 1)
        )
        late = 10 * max(missed[j] - ended[i], 0.0)
        worth[i] = 2 * (ended[-1] - ended[i]) + lag + late + worth[j]
    return worth if start is None else worth[start]


# --- what is expected


def test_expected_end_is_a_range_beyond_the_age() -> None:
    found = expected_end(expectation(*[100.0] * 30), seconds(20), NOW)
    assert found is not None
    assert NOW + seconds(20) < found.earliest_at < found.at < found.latest_at
    assert abs(found.at - (NOW + seconds(100))) < seconds(15)
    assert found.at.microsecond == 0


@pytest.mark.parametrize(("samples", "is_known"), [(0, False), (4, False), (5, True)])
def test_expected_end_needs_five_samples(samples: int, is_known: bool) -> None:
    found = expected_end(expectation(*[100.0] * samples), seconds(20), NOW)
    assert (found is not None) == is_known


def test_end_is_not_expected_beyond_the_longest_duration() -> None:
    assert expected_end(expectation(*[100.0] * 30), timedelta(days=3), NOW) is None


@pytest.mark.parametrize(
    ("samples", "age", "slow"), [(19, 5000, None), (20, 5000, True), (20, 100, False)]
)
def test_slow_needs_twenty_samples_and_the_last_percentile(
    samples: int, age: float, slow: bool | None
) -> None:
    assert is_slow(expectation(*[100.0] * samples), seconds(age)) is slow


def test_faded_samples_expect_nothing() -> None:
    known = expect(history(*[100.0] * 30), NOW + timedelta(days=400), Policy())
    assert expected_end(known, seconds(20), NOW) is None
    assert is_slow(known, seconds(20)) is None


def test_unknown_kind_expects_nothing() -> None:
    unknown = expect_unknown(Policy())
    assert unknown is expect_unknown(Policy())  # planned once
    assert unknown.samples == 0
