"""Measure many watches at once, and print.

    python -m benchmarks.many_watches --watches 20000

`hour` polls them for an hour of simulated time, and prints the memory of the process;
`punctuality` polls them in real time, prints how late polls are, and fails if one is later than
promised; `rate` prints how many polls one process makes in a second if all are due. Without
`--only`, all three are measured.
"""

import argparse
import asyncio
import sys
from datetime import timedelta
from statistics import median, quantiles

from benchmarks.many_watches.measures import measure_hour, measure_punctuality, measure_rate

_QUARTER = 15  # minutes
_KB = 1024
_MEASURES = ("hour", "punctuality", "rate")
_DUE_AT_ONCE = 5000
# Seconds: the host may pause for 2 if it finds no messages (host.json), and has 3 for the polls.
_PROMISED = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_watches", description=__doc__)
    parser.add_argument("--only", action="append", choices=_MEASURES)
    parser.add_argument("--watches", type=int, default=20_000)
    parser.add_argument("--simulated", type=int, default=60, help="minutes of `hour`")
    parser.add_argument("--real", type=int, default=6, help="minutes of `punctuality`")
    asked = parser.parse_args()
    measures = asked.only or _MEASURES
    if "hour" in measures:
        _print_hour(asked.watches, asked.simulated)
    if "punctuality" in measures:
        _print_punctuality(asked.watches, asked.real)
    if "rate" in measures:
        _print_rate(min(asked.watches, _DUE_AT_ONCE))


def _print_hour(watches: int, minutes: int) -> None:
    hour = asyncio.run(measure_hour(watches, timedelta(minutes=minutes)))
    first, last = hour.usages[0], hour.usages[-1]
    print(f"hour: {watches} watches, {hour.polls} polls in {minutes} min of simulated time")
    print(f"  latest poll {hour.latest:.1f} s after it was due (in simulated time)")
    print(f"  CPU of a poll: {(last.cpu - first.cpu) / hour.polls * 1e6:.0f} µs")
    for minute in range(0, minutes + 1, _QUARTER):
        used = hour.usages[minute]
        print(f"  after {minute:2} min: {used.resident:.1f} MB resident, {used.blocks} blocks")
    if minutes > _QUARTER:
        before = hour.usages[_QUARTER]
        grown = last.resident - before.resident
        print(
            f"  growth over the last {minutes - _QUARTER} min: {grown:+.1f} MB, "
            f"{grown * _KB * _KB / watches:+.0f} bytes a watch; "
            f"{last.blocks - before.blocks:+} blocks",
            flush=True,
        )


def _print_punctuality(watches: int, minutes: int) -> None:
    seen = asyncio.run(measure_punctuality(watches, timedelta(minutes=minutes)))
    polls = len(seen.late)
    print(
        f"punctuality: {watches} watches, {polls} polls in {minutes} min, "
        f"{polls / seen.seconds:.0f} a second\n"
        f"  seconds after they were due: median {median(seen.late):.2f}, "
        f"p95 {quantiles(seen.late, n=20)[-1]:.2f}, p99.9 {quantiles(seen.late, n=1000)[-1]:.2f}, "
        f"most {max(seen.late):.2f}\n"
        f"  CPU: {seen.cpu / seen.seconds:.0%} of a core, {seen.cpu / polls * 1e6:.0f} µs a poll; "
        f"the stand-in's {seen.storage_cpu / seen.seconds:.0%}",
        flush=True,
    )
    if max(seen.late) > _PROMISED:
        sys.exit(f"a poll was more than {_PROMISED:.0f} s late")


def _print_rate(watches: int) -> None:
    rate = asyncio.run(measure_rate(watches))
    print(
        f"rate: {rate.polls} watches due at once, {rate.polls / rate.seconds:.0f} polls a second, "
        f"{rate.cpu / rate.polls * 1e6:.0f} µs of CPU each",
        flush=True,
    )


if __name__ == "__main__":
    main()
