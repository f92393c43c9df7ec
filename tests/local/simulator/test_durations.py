from datetime import timedelta
from random import Random
from statistics import mean, median

import pytest

from opswatch.local.simulator import parse_draw


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - made-up lives are no secrets


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("0.5", 0.5), ("PT2M", 120.0), ("pt1h", 3600.0), ("0", 0.0)],
)
def test_a_fixed_duration_is_always_the_same(text: str, seconds: float) -> None:
    assert parse_draw(text)(seeded(1)) == timedelta(seconds=seconds)


def test_never_has_no_end() -> None:
    assert parse_draw("never")(seeded(1)) is None


def draws(text: str, seed: int = 7) -> list[float]:
    rng, draw = seeded(seed), parse_draw(text)
    return [drawn.total_seconds() for _ in range(4000) if (drawn := draw(rng)) is not None]


def test_uniform_durations_lie_between_their_bounds() -> None:
    drawn = draws("uniform:10:20")
    assert 10 <= min(drawn) < 10.1
    assert 19.9 < max(drawn) <= 20


def test_exponential_durations_have_their_mean() -> None:
    assert mean(draws("exponential:60")) == pytest.approx(60, rel=0.05)


def test_lognormal_durations_have_their_median() -> None:
    assert median(draws("lognormal:490:0.5")) == pytest.approx(490, rel=0.05)


def test_the_same_seed_draws_the_same_durations() -> None:
    assert draws("lognormal:60:1", seed=3) == draws("lognormal:60:1", seed=3)
    assert draws("lognormal:60:1", seed=3) != draws("lognormal:60:1", seed=4)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "nan", "inf", "1e300", "uniform:1", "exponential:0", "lognormal:0:1",
     "lognormal:60:-1", "poisson:3", "uniform:a:b"],
)  # fmt: skip
def test_anything_else_is_refused_with_the_usage(text: str) -> None:
    with pytest.raises(ValueError, match="lognormal:MEDIAN:SIGMA"):
        parse_draw(text)
