"""The delay until the next poll: the plan's gap within the settings' bounds and ARM's word."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.durations import History
from opswatch.core.observations import Observation
from opswatch.core.policy import Policy
from opswatch.core.polls import Wait, after_poll
from opswatch.core.schedule import Expectation, backoff, expect, expect_unknown, next_delay
from opswatch.core.watches import Watch, begin
from tests.support.builders import (
    NOW,
    SILENCE,
    at,
    ended,
    missed,
    registration,
    running,
    seconds,
    watch,
)

FAR = timedelta(days=7)
WIDE = Policy(poll_max=timedelta(days=1))
PLAN = expect_unknown(WIDE).plan
KNOWN = expect(History().add(600, 600, NOW).add(600, 600, NOW).add(590, 620, NOW), NOW, Policy())


def delay(
    age: float,
    asked: float | None = None,
    policy: Policy = WIDE,
    left: float = FAR.total_seconds(),
    jitter: float = 0.0,
) -> float:
    """Return the seconds from a poll at this age to the next."""
    retry_after = None if asked is None else seconds(asked)
    found = next_delay(seconds(age), seconds(left), retry_after, PLAN, policy, jitter=jitter)
    return found.total_seconds()


def gap_after(value: Watch, seen: Observation, now: datetime, policy: Policy = WIDE) -> timedelta:
    action = after_poll(value, seen, now, policy)
    assert isinstance(action, Wait)
    return action.watch.due_at - now


@pytest.mark.parametrize("age", [0, 10, 100, 1000, 20_000])
def test_delay_is_the_plans_gap_in_whole_seconds(age: float) -> None:
    assert PLAN.gap(age) <= delay(age) < PLAN.gap(age) + 1


@pytest.mark.parametrize(
    ("age", "asked", "expected"),
    [
        pytest.param(0, None, 10, id="no less than the minimum"),
        pytest.param(50_000, None, 60, id="no more than the maximum"),
        pytest.param(50_000, 600, 600, id="Retry-After beyond the maximum still counts"),
        pytest.param(0, 2, 10, id="Retry-After below the minimum does not"),
        pytest.param(0, 20, 20, id="Retry-After is met exactly"),
        pytest.param(50_000, 20, 60, id="Retry-After is no interval"),
        pytest.param(0, 12.001, 13, id="whole seconds, rounded up"),
    ],
)
def test_bounds_are_kept(age: float, asked: float | None, expected: float) -> None:
    policy = Policy(poll_min=seconds(10), poll_max=seconds(60))
    for jitter in (-1, 0, 1):
        assert delay(age, asked, policy, jitter=jitter) == expected


def test_jitter_spreads_the_gap_by_five_percent() -> None:
    gap = PLAN.gap(1000)
    assert delay(1000, jitter=-1) == pytest.approx(0.95 * gap, abs=1)
    assert delay(1000, jitter=1) == pytest.approx(1.05 * gap, abs=1)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param(3, 3, id="at the deadline"),
        pytest.param(2.5, 3, id="at the first second after it"),
        pytest.param(0.2, 1, id="soon"),
        pytest.param(-5, 1, id="past it"),
    ],
)
def test_last_poll_is_made_at_the_deadline(left: float, expected: float) -> None:
    assert delay(600, left=left) == expected
    assert delay(600, asked=10**9, left=left) == expected


@given(
    age=st.floats(-1e6, 1e9),
    asked=st.none() | st.timedeltas(timedelta(microseconds=1)),
    left=st.floats(-10, 6e5),
    least=st.integers(1, 600),
    more=st.integers(0, 10_000),
    jitter=st.floats(-1, 1),
)
def test_delay_is_whole_seconds_within_bounds(
    age: float, asked: timedelta | None, left: float, least: int, more: int, jitter: float
) -> None:
    policy = Policy(poll_min=seconds(least), poll_max=seconds(least + more))
    found = next_delay(seconds(age), seconds(left), asked, PLAN, policy, jitter=jitter)
    assert found.microseconds == 0
    assert seconds(least) <= found <= max(seconds(left + 1), seconds(least))
    if asked is None:
        assert found <= policy.poll_max
    else:
        assert found >= min(asked, seconds(left))


# --- after a poll


def test_age_counts_from_the_operations_start() -> None:
    late = watch(registered_at=at(1000), start_time=NOW)
    unknown = watch(registered_at=at(1000))
    gap = PLAN.gap(1000)
    assert gap_after(late, running(), at(1000)).total_seconds() == pytest.approx(gap, rel=0.06)
    assert gap_after(unknown, running(), at(1000)) < seconds(10)


@pytest.mark.parametrize(
    "start", [NOW.replace(year=1601), at(-8 * 86_400), at(3600), NOW.replace(year=9999)]
)
def test_unbelievable_start_is_not_an_origin(start: datetime) -> None:
    value = watch(start_time=start)
    assert value.facts.began_at(at(600)) == NOW
    assert gap_after(value, running(), at(600)) == gap_after(watch(), running(), at(600))


def test_start_in_the_future_counts_once_it_is_past() -> None:
    value = watch(start_time=at(3600))
    assert value.facts.began_at(at(3600)) == at(3600)


def test_jitter_depends_on_key_and_seq() -> None:
    gaps = {gap_after(watch(seq=seq), running(), at(2000)) for seq in range(1, 30)}
    assert len(gaps) > 3
    assert gap_after(watch(seq=3), running(), at(2000)) == gap_after(
        watch(seq=3), running(), at(2000)
    )


@pytest.mark.parametrize(
    "seen", [missed(500), missed(429), missed(429, retry_after=seconds(1)), SILENCE]
)
def test_misses_back_off_and_never_hasten_a_poll(seen: Observation) -> None:
    value, now = watch(last_running_at=NOW), NOW
    gaps: list[timedelta] = []
    for _ in range(12):
        now += seconds(5) if not gaps else gaps[-1]
        gaps.append(gap_after(value, seen, now, Policy()))
    assert gaps[-1] == Policy().poll_max
    assert all(a <= b + seconds(1) for a, b in pairwise(gaps))
    long_gap = gap_after(watch(), running(), at(9000), Policy())
    recent = watch(last_running_at=at(8999))
    assert gap_after(recent, seen, at(9000), Policy()) == long_gap


@pytest.mark.parametrize(
    ("silence", "expected"), [(-5, 5), (0, 5), (4.9, 5), (5, 10), (14.9, 10), (15, 20), (9999, 300)]
)
def test_backoff_doubles_from_five_seconds(silence: float, expected: float) -> None:
    assert backoff(seconds(silence), Policy()) == seconds(expected)


def test_learned_plan_decides_the_gap() -> None:
    learned = after_poll(watch(), running(), at(100), Policy(), KNOWN).watch
    unknown = after_poll(watch(), running(), at(100), Policy()).watch
    assert learned.due_at - at(100) > 2 * (unknown.due_at - at(100))


# --- what a poll shows of the end to be expected


def many(first: float = 590) -> History:
    known = History()
    for i in range(40):
        known = known.add(first + i, first + i, NOW)
    return known


LEARNED = expect(many(), NOW, Policy())
# The age by which 95 of 100 have ended.
LATE = LEARNED.durations.quantile(0.95)
SLOW_KIND = expect(many().merge(many(9000)).merge(many(9000)), NOW, Policy())


def test_running_poll_expects_an_end() -> None:
    value = after_poll(watch(), running(), at(60), Policy(), LEARNED).watch
    assert value.last_running_at == at(60)
    assert value.expected is not None
    assert at(450) < value.expected.earliest_at < value.expected.at < value.expected.latest_at
    assert value.slow is False
    late = after_poll(
        watch(registered_at=at(50), start_time=NOW), running(), at(60), Policy(), LEARNED
    ).watch
    assert late.expected == value.expected


def test_few_samples_of_yesterday_expect_an_end() -> None:
    known = History()
    for _ in range(5):
        known = known.add(600, 600, at(-86_400))
    expectation = expect(known, NOW, Policy())
    assert after_poll(watch(), running(), at(60), Policy(), expectation).watch.expected is not None


def test_missed_poll_keeps_the_expected_end() -> None:
    before = after_poll(watch(), running(), at(60), Policy(), LEARNED).watch
    after = after_poll(before, missed(500), at(90), Policy(), LEARNED).watch
    assert after.expected == before.expected
    assert after.last_running_at == at(60)
    assert after_poll(watch(), missed(500), at(5), Policy(), LEARNED).watch.expected is None


def test_unknown_kind_keeps_the_expected_end() -> None:
    before = after_poll(watch(), running(), at(60), Policy(), LEARNED).watch
    after = after_poll(before, running(), at(90), Policy(), expect_unknown(Policy())).watch
    assert (after.expected, after.slow) == (before.expected, False)


def test_watch_becomes_slow_and_stays_slow() -> None:
    value = after_poll(watch(), running(), at(2000), Policy(), LEARNED).watch
    assert value.slow is True
    for later in (KNOWN, SLOW_KIND):
        assert after_poll(value, running(), at(2100), Policy(), later).watch.slow is True
    assert after_poll(watch(), running(), at(LATE), Policy(), LEARNED).watch.slow is False
    joined = watch(registered_at=at(1990), start_time=NOW)
    assert after_poll(joined, running(), at(2000), Policy(), LEARNED).watch.slow is True


def test_end_expects_nothing_new() -> None:
    finished = after_poll(watch(), ended(), at(60), Policy(), LEARNED).watch
    assert (finished.expected, finished.slow, finished.last_running_at) == (None, None, None)


# --- the first poll


def test_first_poll_is_made_at_once() -> None:
    assert begin(registration(), NOW, Policy(), expectation=LEARNED).due_at == NOW


def test_posted_start_lets_the_plan_decide() -> None:
    posted = registration(start_time=at(-2))
    first = begin(posted, NOW, Policy(), expectation=LEARNED).due_at
    assert first > at(30)
    assert begin(posted, NOW, Policy()).due_at <= at(10)


@pytest.mark.parametrize("start", [at(-3600), at(3600), NOW.replace(year=1601)])
def test_late_or_unbelievable_start_polls_at_once(start: datetime) -> None:
    posted = registration(start_time=start)
    assert begin(posted, NOW, Policy(), expectation=LEARNED).due_at == NOW


def test_first_poll_is_no_later_than_the_deadline() -> None:
    posted = replace(registration(start_time=NOW), timeout=seconds(30))
    assert begin(posted, NOW, Policy(), expectation=LEARNED).due_at <= at(30)


POLICIES = st.builds(
    lambda shortest, longest: Policy(poll_min=seconds(shortest), poll_max=seconds(longest)),
    st.integers(1, 60),
    st.integers(60, 7 * 86_400),
)


@given(
    age=st.integers(0, 200_000),
    asked=st.none() | st.floats(0, 1e6),
    silence=st.integers(0, 10_000),
    seq=st.integers(1, 10_000),
    policy=POLICIES,
    expectation=st.sampled_from([None, KNOWN]),
)
def test_refused_poll_is_never_followed_sooner_than_another(
    *,
    age: int,
    asked: float | None,
    silence: int,
    seq: int,
    policy: Policy,
    expectation: Expectation | None,
) -> None:
    """ARM may ask for less than the schedule's gap, and must not be polled more for refusing."""
    deadline_at = at(10**7)
    value = watch(seq=seq, deadline_at=deadline_at, last_running_at=at(max(0, age - silence)))
    wait = None if asked is None else seconds(asked)
    due = []
    for seen in (running(), missed(429, retry_after=wait)):
        action = after_poll(value, seen, at(age), policy, expectation)
        assert isinstance(action, Wait)
        due.append(action.watch.due_at)
    after_running, after_refusal = due
    assert after_refusal >= max(after_running, at(age + (asked or 0)))
