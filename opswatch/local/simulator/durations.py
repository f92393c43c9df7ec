"""How long operations take: a fixed duration, or a distribution to draw from."""

import math
from collections.abc import Callable
from datetime import timedelta
from random import Random

from opswatch.core.times import parse_duration

Distribution = Callable[[Random], timedelta | None]  # None: it never ends

_USAGE = (
    "a number of seconds, an ISO 8601 duration, never, uniform:LEAST:MOST, exponential:MEAN "
    "or lognormal:MEDIAN:SIGMA"
)


def parse_distribution(text: str) -> Distribution:
    """Return the distribution that `text` describes, in seconds; raise `ValueError` with the usage.

    `lognormal:60:0.5` has a median of 60 s; 0.5 is the standard deviation of the logarithm.
    """
    name, *parameters = text.strip().lower().split(":")
    try:
        numbers = [float(parameter) for parameter in parameters]
    except ValueError:
        numbers = [math.nan]
    if all(math.isfinite(number) and number >= 0 for number in numbers):
        match name, numbers:
            case "never", []:
                return lambda _: None
            case "uniform", [least, most]:
                return lambda rng: timedelta(seconds=rng.uniform(least, most))
            case "exponential", [mean] if mean > 0:
                return lambda rng: timedelta(seconds=rng.expovariate(1 / mean))
            case "lognormal", [median, sigma] if median > 0:
                return lambda rng: timedelta(seconds=rng.lognormvariate(math.log(median), sigma))
            case _, [] if (fixed := _fixed(name)) is not None:
                return lambda _: fixed
    raise ValueError(f"{text!r} is not a duration: {_USAGE}")


def _fixed(text: str) -> timedelta | None:
    duration = parse_duration(text.upper())
    if duration is not None:
        return duration
    try:
        seconds = float(text)
    except ValueError:
        return None
    is_valid = 0 <= seconds < timedelta.max.total_seconds()
    return timedelta(seconds=seconds) if is_valid else None
