"""Histories of durations, and the distributions that follow from them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.durations import EDGES, History, distribution

NOW = datetime(2026, 11, 26, tzinfo=UTC)
HALF_LIFE = timedelta(days=90)


def history(*durations: float, now: datetime = NOW) -> History:
    known = History()
    for seconds in durations:
        known = known.add(seconds, seconds, now)
    return known


def test_interval_is_spread_over_its_bins() -> None:
    counts = History().add(16, 64, NOW).counts(NOW)
    inside = [count for count, edge in zip(counts, EDGES, strict=False) if 16 <= edge < 64]
    assert sum(counts) == pytest.approx(1)
    assert sum(inside) == pytest.approx(1)
    assert len(inside) == 8  # a quarter of an octave each
    assert inside == sorted(inside)  # in proportion to their widths


def test_exact_duration_falls_into_one_bin() -> None:
    counts = history(100.0).counts(NOW)
    (only,) = [i for i, count in enumerate(counts) if count > 1e-9]
    assert EDGES[only] < 100 <= EDGES[only + 1]


def test_order_of_observations_does_not_matter() -> None:
    early = NOW - HALF_LIFE
    one = History().add(10, 20, early).add(100, 130, NOW)
    two = History().add(100, 130, NOW).add(10, 20, early)
    assert one.weights == pytest.approx(two.weights)


def test_histories_merge_by_adding() -> None:
    parts = history(5, 6, 7), history(300.0, now=NOW - HALF_LIFE)
    merged = parts[0].merge(parts[1])
    assert merged.weights == pytest.approx(parts[1].merge(parts[0]).weights)
    assert sum(merged.counts(NOW)) == pytest.approx(3.5)


def test_observation_halves_with_each_half_life() -> None:
    known = history(50.0)
    assert sum(known.counts(NOW + HALF_LIFE)) == pytest.approx(0.5)
    assert sum(known.counts(NOW + 40 * HALF_LIFE)) < 1e-9


@pytest.mark.parametrize("year", [1, 1601, 2026, 2100, 9999])
def test_any_clock_gives_a_finite_weight(year: int) -> None:
    now = datetime(year, 6, 1, tzinfo=UTC)
    assert sum(history(10.0, now=now).counts(now)) == pytest.approx(1)


@given(low=st.floats(-1e12, 1e12), high=st.floats(-1e12, 1e12))
def test_odd_observation_counts_as_one(low: float, high: float) -> None:
    assert sum(History().add(low, high, NOW).counts(NOW)) == pytest.approx(1)


def test_prior_alone_has_its_median() -> None:
    prior = distribution(())
    assert 18 < prior.quantile(0.5) < 23
    assert prior.quantile(0.1) < 2
    assert prior.quantile(0.9) > 200


def test_distribution_narrows_with_observations() -> None:
    few, many = (distribution(history(*[100.0] * n).counts(NOW)) for n in (2, 200))
    widths = [d.quantile(0.9) - d.quantile(0.1) for d in (few, many)]
    assert widths[1] < widths[0] / 2
    assert 85 < many.quantile(0.5) < 115


def test_quantiles_rise_to_a_probability_of_one() -> None:
    durations = distribution(history(100, 120, 300).counts(NOW))
    ages = [durations.quantile(share) for share in (0, 0.01, 0.1, 0.5, 0.9, 0.99)]
    assert all(a < b for a, b in pairwise(ages))
    assert durations.ended_by(EDGES[-1]) == pytest.approx(1)
    assert durations.ended_by(-5) == 0
    assert durations.ended_by(1e9) == pytest.approx(1)


def test_quantile_at_an_age_lies_beyond_it() -> None:
    durations = distribution(history(*[100.0] * 20, *[1000.0] * 20).counts(NOW))
    assert durations.quantile(0.5, age=300) == pytest.approx(1000, rel=0.15)
    assert durations.quantile(0.1, age=300) > 300
    assert durations.quantile(0.5, age=1e7) == 1e7
