"""Runs of the model: watches that wait all month, or operations that begin all day."""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from statistics import NormalDist, fmean, median

from benchmarks.scaling import rules
from benchmarks.scaling.app import START, App, Operation, new_watch, waiting_watch
from benchmarks.scaling.host import Timeline
from benchmarks.scaling.prices import MONTH, Month
from benchmarks.scaling.rules import TODAY, Rules
from opswatch.core.durations import History
from opswatch.core.policy import Policy
from opswatch.core.schedule import expect

_ARM_SHARE = 0.8  # of the reads that ARM permits for a subscription
_DAY = 24 * 3600.0
_MEDIAN, _SIGMA = 480.0, 0.2  # of an operation's duration, in seconds and on the logarithmic scale
_TIMEOUT = timedelta(days=7)
# Requests of a run of the timer, besides the pages of all watches, which it reads once.
REPAIR = {"query": 6, "receive": 2, "queue": 6, "read": 2, "peek": 2, "write": 1}
_IDLE_LOOKS = 0.5  # a second, at a queue whose function has no instance: at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used after a warm-up, a second, and what a month of it is."""

    watches: float  # that wait, on average
    subscriptions: int
    polls: float
    executions: float
    requests: dict[str, float]
    billed: float  # seconds of instances
    instances: int  # the most
    idle_queues: int  # whose function has no instance
    messages: int  # the most, hidden ones included
    late_p99: float
    scanned: float  # rows that looks read
    ended: float  # operations
    lag: float  # seconds between an end and the poll that saw it
    cpu: float  # seconds

    @property
    def month(self) -> Month:
        """The month of an app with its timer and with looks at its queues."""
        pages = max(1, math.ceil(self.watches / rules.PAGE))
        repair = Counter(REPAIR)
        repair["query"] += pages
        runs = MONTH / 60 + MONTH / 3600  # of the repair and of the purge
        requests = {kind: rate * MONTH for kind, rate in self.requests.items()}
        for kind, number in repair.items():
            requests[kind] = requests.get(kind, 0.0) + number * runs
        requests["peek"] = requests.get("peek", 0.0) + self.idle_queues * _IDLE_LOOKS * MONTH
        timer = runs * max(rules.LEAST_BILLED, pages * rules.PAGE_LATENCY)
        most_traced = rules.TRACES_PER_SECOND * rules.TRACES_OF_BATCHES * max(self.instances, 1)
        traced = min(self.polls, most_traced) * (rules.LOG_LINE + rules.LOG_TRACE)
        logged = (traced + self.ended * rules.LINES * rules.LOG_LINE) * MONTH
        return Month(
            gb_seconds=(self.billed * MONTH + timer) * rules.MEMORY,
            executions=self.executions * MONTH + runs,
            requests=requests,
            stored=self.ended * MONTH * rules.ROW / 1e6,
            logged=(logged + MONTH / 60 * rules.LOG_TIMER) / 1e6,
        )


EMPTY = Usage(
    watches=0,
    subscriptions=0,
    polls=0,
    executions=0,
    requests={},
    billed=0,
    instances=0,
    idle_queues=2,
    messages=0,
    late_p99=0,
    scanned=0,
    ended=0,
    lag=0,
    cpu=0,
)


def waiting(  # noqa: PLR0913 - a scenario
    watches: int,
    gap: int,
    *,
    seconds: float = 120,
    warm_up: float = 60,
    how: Rules = TODAY,
    subscriptions: int | None = None,
    seed: int = 1,
) -> Usage:
    """Let so many watches wait whose ARM asks for a poll every `gap` seconds.

    They belong to as many subscriptions as ARM's limit of reads requires, unless told otherwise.
    """
    if not watches:
        return EMPTY
    policy = Policy(poll_max=timedelta(seconds=gap), timeout=_TIMEOUT)
    random = Random(seed)  # noqa: S311 - a model
    timeline = Timeline()
    app = App(timeline, policy, how, seed)
    count = subscriptions or math.ceil(watches / gap / (_ARM_SHARE * rules.ARM_READS))
    for number in range(watches):
        due = random.uniform(0, gap)
        watch = waiting_watch(number, number % count, due, policy)
        app.add(Operation(watch, math.inf, float(gap), number % count))
    app.operations.warm_up()
    return _measure(timeline, app, warm_up=warm_up, seconds=seconds, subscriptions=count)


def operations_a_day(count: int, *, seconds: float | None = None, how: Rules = TODAY) -> Usage:
    """Let so many operations of some eight minutes begin in a day, polled as was learned."""
    policy = Policy(timeout=_TIMEOUT)
    timeline, random = Timeline(), Random(1)  # noqa: S311 - a model
    history = History()
    for i in range(200):
        duration = _duration((i + 0.5) / 200)
        history = history.add(duration, duration, START)
    app = App(timeline, policy, how, 1, expect(history, START, policy))
    rate = count / _DAY

    def begin_one(number: int) -> None:
        now = timeline.now
        ends_at = now + _duration(random.uniform(0.001, 0.999))
        app.post(Operation(new_watch(number, 0, now, policy), ends_at, None, 0))
        timeline.at(now + random.expovariate(rate), begin_one, number + 1)

    timeline.at(0.0, begin_one, 0)
    span = seconds or max(1200.0, 200 / rate)
    return _measure(timeline, app, warm_up=1200, seconds=span, subscriptions=1)


def _duration(quantile: float) -> float:
    return _MEDIAN * math.exp(_SIGMA * NormalDist().inv_cdf(quantile))


def _measure(
    timeline: Timeline, app: App, *, warm_up: float, seconds: float, subscriptions: int
) -> Usage:
    functions = (app.operations, app.deliveries)
    watches: list[int] = []
    messages: list[int] = []
    instances: list[int] = []

    def sample() -> None:
        watches.append(app.rows)
        messages.append(sum(len(function.queue) for function in functions))
        instances.append(sum(len(function.instances) for function in functions))
        timeline.at(timeline.now + 1, sample)

    timeline.run(warm_up)
    app.requests.clear()
    app.late.clear()
    app.lags.clear()
    polls, scanned = app.polls, app.scanned
    executions = sum(function.executions for function in functions)
    timeline.at(timeline.now, sample)
    timeline.run(warm_up + seconds)
    executed = sum(function.executions for function in functions) - executions
    late = sorted(app.late)
    return Usage(
        watches=fmean(watches),
        subscriptions=subscriptions,
        polls=(app.polls - polls) / seconds,
        executions=executed / seconds,
        requests={kind: number / seconds for kind, number in app.requests.items()},
        billed=sum(function.billed(warm_up) for function in functions) / seconds,
        instances=max(instances),
        idle_queues=sum(not function.instances for function in functions),
        messages=max(messages),
        late_p99=late[int(0.99 * len(late))] if late else 0.0,
        scanned=(app.scanned - scanned) / seconds,
        ended=len(app.lags) / seconds,
        lag=median(app.lags) if app.lags else 0.0,
        cpu=((app.polls - polls) * rules.CPU_POLL + executed * rules.CPU_MESSAGE) / seconds,
    )
