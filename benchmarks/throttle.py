"""Polling far beyond ARM's budget of reads: what is refused, what is used, and the lag.

    python -m benchmarks.throttle [--operations 5000] [--minutes 30] [--others]

So many operations of about ten minutes are in flight in one subscription, whose bucket of 250 reads
refills with 25 a second. The core, the gate and the reading of answers are real; queues, processes
and ARM are simulated in virtual time. A wake-up arrives at a random process, and each process knows
only its own reads. With `--others` a fixed interval and the schedule without the gate are simulated
as well, which takes many minutes. The last line is JSON.
"""

import argparse
import heapq
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from statistics import NormalDist, fmean

from opswatch.adapters.read_budget import ReadBudget
from opswatch.core import arm
from opswatch.core.durations import History
from opswatch.core.http import HttpResponse
from opswatch.core.intake import Registration
from opswatch.core.keys import operation_from_url
from opswatch.core.observations import Missed
from opswatch.core.policy import Policy
from opswatch.core.polls import Wait, after_poll, polled_url
from opswatch.core.schedule import expect
from opswatch.core.watches import Watch, begin, postpone
from opswatch.local.simulator.throttle import Buckets, Limit
from opswatch.testing import MemoryBudget

_START = datetime(2026, 11, 26, tzinfo=UTC)
_MEDIAN, _SIGMA = 600.0, 0.1  # of the durations, in seconds and on the logarithmic scale
_WARM_UP = 20 * 60.0  # seconds
_LATENCY = (0.05, 0.3)  # seconds from a request to its answer
_RETRY_AFTER = "5"  # seconds that a 429 asks for
_READS = "x-ms-ratelimit-remaining-subscription-reads"
_ENDPOINT = "https://management.azure.com"
_SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
PROCESSES = (1, 4, 16)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured after the warm-up."""

    refused: float  # the share of the requests
    reads: float  # that ARM answered, a second
    lag: float  # the mean, seconds
    postponed: float  # polls, a second

    def line(self) -> str:
        """Return the figures as a line of text."""
        return (
            f"{self.refused:8.2%} refused {self.reads:7.1f} reads/s {self.lag:8.1f} s of lag "
            f"{self.postponed:8.1f} postponed/s"
        )


@dataclass(slots=True)
class _Operation:
    watch: Watch
    ends_at: float


class Simulation:
    """Operations that begin steadily, and the polls of all processes."""

    def __init__(self, operations: int, processes: int, *, has_gate: bool, interval: float | None):
        self._random = Random(1)  # noqa: S311 - a simulation
        self._budgets = [ReadBudget() if has_gate else MemoryBudget() for _ in range(processes)]
        self._buckets = Buckets(Limit())
        self._policy = Policy(timeout=timedelta(hours=6))
        self._interval = interval  # None: the learned schedule
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()
        self._between = _MEDIAN / operations
        self.granted = self.refused = self.postponed = 0
        self.lags: list[float] = []
        history = History()
        for i in range(200):
            duration = self._duration((i + 0.5) / 200)
            history = history.add(duration, duration, _START)
        self._expectation = expect(history, _START, self._policy)

    def run(self, seconds: float, warm_up: float = _WARM_UP) -> Outcome:
        """Run for a warm-up and then for so long; return what was measured after the warm-up."""
        self._at(0.0, self._begin)
        is_warm = False
        while self._events:
            now, _, act = heapq.heappop(self._events)
            if not is_warm and now > warm_up:
                is_warm = True
                self.granted = self.refused = self.postponed = 0
                self.lags.clear()
            if now > warm_up + seconds:
                break
            act(now)
        total = self.granted + self.refused
        return Outcome(
            refused=self.refused / total,
            reads=self.granted / seconds,
            lag=fmean(self.lags) if self.lags else math.inf,
            postponed=self.postponed / seconds,
        )

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act))

    def _duration(self, quantile: float) -> float:
        return _MEDIAN * math.exp(_SIGMA * NormalDist().inv_cdf(quantile))

    def _begin(self, now: float) -> None:
        """Register an operation that begins now, and plan the next one."""
        path = (
            f"/subscriptions/{_SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
            f"/operationsStatus/{next(self._numbers)}?api-version=2024-10-01"
        )
        registration = Registration(operation=operation_from_url(_ENDPOINT + path))
        watch = begin(registration, _instant(now), self._policy)
        operation = _Operation(watch, now + self._duration(self._random.uniform(0.001, 0.999)))
        self._at(now, lambda at: self._wake(operation, at))
        self._at(now + self._between, self._begin)

    def _wake(self, operation: _Operation, now: float) -> None:
        """Poll, or postpone the poll, as `steps.poll` does."""
        budget, watch, instant = self._random.choice(self._budgets), operation.watch, _instant(now)
        delay = budget.delay(
            watch.facts.operation, instant, has_waited=watch.postponed_since is not None
        )
        if delay:
            self.postponed += 1
            operation.watch = postpone(watch, instant + delay, instant)
            self._at(now + math.ceil(delay.total_seconds()), lambda at: self._wake(operation, at))
            return
        grant = self._buckets.take(_SUBSCRIPTION, instant)
        if grant.granted:
            self.granted += 1
            status = "Succeeded" if now >= operation.ends_at else "InProgress"
            body = json.dumps({"status": status}).encode()
            answer = HttpResponse(200, {_READS: str(grant.remaining)}, body)
        else:
            self.refused += 1
            answer = HttpResponse(429, {"retry-after": _RETRY_AFTER}, b"{}")
        latency = self._random.uniform(*_LATENCY)
        self._at(now + latency, lambda at: self._read(operation, answer, budget, at))

    def _read(
        self,
        operation: _Operation,
        answer: HttpResponse,
        budget: ReadBudget | MemoryBudget,
        now: float,
    ) -> None:
        watch, instant = operation.watch, _instant(now)
        seen = arm.read(answer, polled_url(watch, _ENDPOINT), instant)
        budget.record(watch.facts.operation, answer, seen, instant)
        action = after_poll(watch, seen, instant, self._policy, self._expectation)
        operation.watch = action.watch
        if not isinstance(action, Wait):
            self.lags.append(now - operation.ends_at)
            return
        delay = (action.watch.due_at - instant).total_seconds()
        if self._interval is not None:
            is_refused = isinstance(seen, Missed)
            delay = float(_RETRY_AFTER) if is_refused else self._interval
        self._at(now + math.ceil(delay), lambda at: self._wake(operation, at))


def _instant(now: float) -> datetime:
    return _START + timedelta(seconds=now)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throttle", description=__doc__)
    parser.add_argument("--operations", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--others", action="store_true")
    asked = parser.parse_args()
    seconds = asked.minutes * 60
    figures: dict[str, dict[str, float | None]] = {}

    def measure(name: str, processes: int, *, has_gate: bool, interval: float | None) -> None:
        simulation = Simulation(asked.operations, processes, has_gate=has_gate, interval=interval)
        outcome = simulation.run(seconds)
        print(f"{name:40}{outcome.line()}", flush=True)
        figures[name] = {
            "refused": round(outcome.refused, 5),
            "reads": round(outcome.reads, 2),
            "lag": round(outcome.lag, 1) if math.isfinite(outcome.lag) else None,
        }

    if asked.others:
        measure("fixed 30 s, obeying 429", 1, has_gate=False, interval=30.0)
        measure("learned, no gate", 1, has_gate=False, interval=None)
    for processes in PROCESSES:
        name = f"learned, gate, processes: {processes}"
        measure(name, processes, has_gate=True, interval=None)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
