"""What polling costs in polls and in lag: the learned schedule beside those of other pollers.

    python -m benchmarks.schedule [--durations FILE] [--cost 2] [--picture FILE.svg]

Operations come from a CSV file (see `recordings`), or are made up. A poller is judged by operations
that it has not learned from. If an operation's end is known as an interval, ten durations within it
count a tenth each, so that nothing is drawn at random. opswatch makes its first poll at an age of
1 s: no post reaches it sooner. The last line is JSON: all kinds, random folds, the first poll at
once.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from benchmarks.schedule.evaluation import (
    NOW,
    Fold,
    Poller,
    Score,
    by_kind,
    calibrate,
    ewma_poller,
    first_of_each_kind,
    judge,
    judge_in_order,
    learned_poller,
    neighbouring_folds,
    random_folds,
)
from benchmarks.schedule.picture import draw
from benchmarks.schedule.pollers import FIRST_POLL, FIXED
from benchmarks.schedule.recordings import Recording, read_recordings, synthetic_recordings
from opswatch.core.durations import History
from opswatch.core.policy import Policy
from opswatch.core.schedule import expect, expect_unknown, next_delay

_BASELINE = "azure-core"
_FLOORS = (1, 2, 5, 10, 15, 30)
_COSTS = (0.25, 0.5, 1, 2, 5, 10, 20, 40)
_MANY, _USUAL = 50, 20  # operations of a kind


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedule", description=__doc__)
    parser.add_argument("--durations", type=Path, metavar="FILE")
    parser.add_argument("--cost", type=float, default=2.0)
    parser.add_argument("--picture", type=Path, metavar="FILE")
    asked = parser.parse_args()
    recordings = read_recordings(asked.durations) if asked.durations else synthetic_recordings()
    run(recordings, asked.cost, asked.picture)


def run(recordings: Sequence[Recording], cost: float, picture: Path | None = None) -> None:
    """Print all figures of these operations; the last line is JSON."""
    policy = Policy(poll_cost=cost)
    groups = by_kind(recordings)
    print(f"{len(recordings)} operations of {len(groups)} kinds; a poll is worth {cost:g} s of lag")
    scores = _compare("all kinds, random folds", recordings, random_folds, policy)
    usual = [r for r in recordings if len(groups[r.kind]) >= _USUAL]
    _compare(f"kinds of {_USUAL} or more, random folds", usual, random_folds, policy)
    _compare("all kinds, folds of neighbours", recordings, neighbouring_folds, policy)
    _print_cold_start(recordings, policy)
    _print_kinds(recordings, policy)
    _print_floors(recordings, policy)
    _print_calibration(recordings, policy)
    _print_times(policy)
    if picture is not None:
        curve = [
            judge(random_folds(recordings), _learned(replace(policy, poll_cost=each)), each)
            for each in _COSTS
        ]
        picture.write_text(draw(scores, list(zip(_COSTS, curve, strict=True))), encoding="utf-8")
    print(json.dumps({name: score.rounded() for name, score in scores.items()}))


def _learned(
    policy: Policy, first: float | None = FIRST_POLL, jitter: float = 0.0
) -> Callable[[list[Recording]], Poller]:
    return lambda recordings: learned_poller(recordings, policy, first=first, jitter=jitter)


def _compare(
    title: str,
    recordings: Sequence[Recording],
    folds: Callable[[Sequence[Recording]], Sequence[Fold] | object],
    policy: Policy,
) -> dict[str, Score]:
    """Print and return the score of each poller."""
    cost = policy.poll_cost
    parts: list[Fold] = list(folds(recordings))  # type: ignore[call-overload]  # an iterator
    scores = {"learned": judge(parts, _learned(policy), cost)}
    for name, ages in FIXED.items():
        of = ages()
        scores[name] = judge(parts, lambda _, of=of: lambda _: of, cost)  # type: ignore[misc]
    scores["moving average"] = judge(parts, ewma_poller, cost)
    scores["learned, first poll by the plan"] = judge(parts, _learned(policy, None), cost)
    jittered = [judge(parts, _learned(policy, jitter=each), cost) for each in (-0.75, 0.75)]
    scores["learned, with jitter"] = Score(
        *(sum(values) / 2 for values in zip(*(_values(s) for s in jittered), strict=True))
    )
    scores["prior alone"] = judge(parts, lambda _: learned_poller([], policy), cost)
    whole = learned_poller(recordings, policy)
    scores["bound: knows each kind"] = judge(parts, lambda _: whole, cost)
    scores["bound: knows each operation"] = Score(1.0, 0.0, 0.0, cost)
    print(f"\n{title}\n{'':34}{'polls':>7}{'lag':>8}{'p95':>8}{'cost':>8}{'relative':>10}")
    base = scores[_BASELINE]
    for name, score in scores.items():
        print(
            f"{name:34}{score.polls:7.2f}{score.lag_mean:8.2f}{score.lag_p95:8.1f}"
            f"{score.cost:8.2f}{score.cost / base.cost:10.3f}"
        )
    learned = scores["learned"]
    print(
        f"{'learned, relative to azure-core':34}{learned.polls / base.polls:7.2f}"
        f"{learned.lag_mean / base.lag_mean:8.2f}{learned.lag_p95 / base.lag_p95:8.2f}"
    )
    return scores


def _values(score: Score) -> tuple[float, float, float, float]:
    return score.polls, score.lag_mean, score.lag_p95, score.cost


def _print_cold_start(recordings: Sequence[Recording], policy: Policy) -> None:
    cost = policy.poll_cost
    everything, first_ten, count = judge_in_order(recordings, policy)
    base = _fixed(_BASELINE, recordings, cost)
    doubling = _fixed("doubling to 60", first_of_each_kind(recordings), cost)
    print("\nin file order, from nothing")
    print(f"  all: {everything.cost / base.cost:.3f} of azure-core's cost")
    print(
        f"  the first ten of each kind ({count}): {first_ten.cost / doubling.cost:.3f} of the cost "
        "of gaps that double from 5 to 60 s"
    )


def _fixed(name: str, recordings: Sequence[Recording], cost: float) -> Score:
    ages = FIXED[name]()
    return judge([([], list(recordings))], lambda _: lambda _: ages, cost)


def _print_kinds(recordings: Sequence[Recording], policy: Policy) -> None:
    """Print each frequent kind's cost, relative to the best of the other pollers for it."""
    print(f"\nkinds of {_MANY} or more, relative to the best fixed poller for each")
    folds = list(random_folds(recordings))
    for kind, group in sorted(by_kind(recordings).items()):
        if len(group) < _MANY:
            continue
        parts = [
            ([r for r in learned if r.kind == kind], [r for r in out if r.kind == kind])
            for learned, out in folds
        ]
        own = judge(parts, _learned(policy), policy.poll_cost)
        others = {name: _fixed(name, group, policy.poll_cost).cost for name in FIXED}
        best = min(others, key=others.__getitem__)
        print(f"  {kind:52}{len(group):5}{own.cost / others[best]:8.3f}  ({best})")


def _print_floors(recordings: Sequence[Recording], policy: Policy) -> None:
    base = _fixed(_BASELINE, recordings, policy.poll_cost)
    print("\nOPSWATCH_POLL_MIN, s: cost relative to azure-core, polls, mean lag")
    for floor in _FLOORS:
        shortest = replace(policy, poll_min=timedelta(seconds=floor))
        score = judge(random_folds(recordings), _learned(shortest), policy.poll_cost)
        print(f"  {floor:3}{score.cost / base.cost:8.3f}{score.polls:8.2f}{score.lag_mean:8.2f}")


def _print_calibration(recordings: Sequence[Recording], policy: Policy) -> None:
    print("\nranges of 80 % shown at 10 s, and `slow`, for kinds of which 20 or more are known")
    for name, folds in (("random", random_folds), ("neighbours", neighbouring_folds)):
        found = calibrate(folds(recordings), policy)
        print(
            f"  {name:11}{found.covered:6.1%} within the range, {found.above:.1%} above it "
            f"({found.shown} operations); {found.slow:.2%} called slow"
        )


def _print_times(policy: Policy) -> None:
    history = History()
    for seconds in range(20, 400, 5):
        history = history.add(seconds, seconds + 10, NOW)
    plans = min(_time(lambda: expect(history, NOW, policy), 5) for _ in range(5))
    plan, age = expect_unknown(policy).plan, timedelta(seconds=70)
    decisions = min(
        _time(lambda: next_delay(age, timedelta(hours=3), None, plan, policy), 2000)
        for _ in range(5)
    )
    print(f"\na decision takes {decisions * 1e6:.1f} us, a plan {plans * 1e3:.1f} ms")


def _time(call: Callable[[], object], times: int) -> float:
    """Return the CPU seconds of one call."""
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times


if __name__ == "__main__":
    main()
