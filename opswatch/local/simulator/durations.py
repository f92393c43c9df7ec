"""How long operations take: one length, or a distribution to draw from."""

import math
from collections.abc import Callable
from datetime import timedelta
from random import Random

from opswatch.core.times import parse_duration

Draw = Callable[[Random], timedelta | None]  # None: it never ends

_USAGE = (
    "a number of seconds, an ISO 8601 duration, never, uniform:LEAST:MOST, exponential:MEAN "
    "or lognormal:MEDIAN:SIGMA"
)


def parse_draw(text: str) -> Draw:
    """Return what `text` describes (seconds throughout); raise `ValueError` with the usage.

    `lognormal:60:0.5` has its median at 60 s and the standard deviation 0.5 of the logarithm.
    """
    name, *numbers = text.strip().lower().split(":")
    try:
        return _draw(name, [float(number) for number in numbers])
    except ValueError as error:
        raise ValueError(f"{text!r} is not a duration: {_USAGE}") from error


def _draw(name: str, numbers: list[float]) -> Draw:
    if any(not math.isfinite(number) or number < 0 for number in numbers):
        raise ValueError("a number is negative or infinite")
    match name, numbers:
        case "never", []:
            return lambda _: None
        case "uniform", [least, most]:
            return lambda rng: timedelta(seconds=rng.uniform(least, most))
        case "exponential", [mean] if mean > 0:
            return lambda rng: timedelta(seconds=rng.expovariate(1 / mean))
        case "lognormal", [median, sigma] if median > 0:
            return lambda rng: timedelta(seconds=rng.lognormvariate(math.log(median), sigma))
        case _, []:
            fixed = _fixed(name)
            return lambda _: fixed
        case _:
            raise ValueError("an unknown distribution")


def _fixed(text: str) -> timedelta:
    duration = parse_duration(text.upper())
    if duration is not None:
        return duration
    seconds = float(text)
    if not 0 <= seconds < timedelta.max.total_seconds():
        raise ValueError("not a length of time")
    return timedelta(seconds=seconds)
