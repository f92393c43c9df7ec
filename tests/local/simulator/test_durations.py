from collections.abc import Callable
from datetime import timedelta
from random import Random
from statistics import mean, median

import pytest

from opswatch.local.simulator import parse_distribution


def draws(text: str, seed: int = 7) -> list[float]:
    rng, draw = Random(seed), parse_distribution(text)  # noqa: S311 - not a secret
    return [drawn.total_seconds() for _ in range(4000) if (drawn := draw(rng)) is not None]


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("5", timedelta(seconds=5)),
        ("0.5", timedelta(seconds=0.5)),
        ("PT2M", timedelta(seconds=120)),
        ("pt1h", timedelta(seconds=3600)),
        ("0", timedelta(0)),
        ("never", None),
    ],
)
def test_fixed_duration_is_always_the_same(text: str, duration: timedelta | None) -> None:
    assert parse_distribution(text)(Random(1)) == duration  # noqa: S311 - not a secret


def test_uniform_durations_stay_between_bounds() -> None:
    drawn = draws("uniform:10:20")
    assert 10 <= min(drawn) < 10.1
    assert 19.9 < max(drawn) <= 20


@pytest.mark.parametrize(
    ("text", "average", "expected"),
    [("exponential:60", mean, 60), ("lognormal:490:0.5", median, 490)],
)
def test_distribution_has_its_average(
    text: str, average: Callable[[list[float]], float], expected: float
) -> None:
    assert average(draws(text)) == pytest.approx(expected, rel=0.05)


def test_seed_makes_durations_repeatable() -> None:
    assert draws("lognormal:60:1", seed=3) == draws("lognormal:60:1", seed=3)
    assert draws("lognormal:60:1", seed=3) != draws("lognormal:60:1", seed=4)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "nan", "inf", "1e300", "uniform:1", "exponential:0", "lognormal:0:1",
     "lognormal:60:-1", "poisson:3", "uniform:a:b"],
)  # fmt: skip
def test_invalid_duration_is_rejected_with_usage(text: str) -> None:
    with pytest.raises(ValueError, match="lognormal:MEDIAN:SIGMA"):
        parse_distribution(text)
