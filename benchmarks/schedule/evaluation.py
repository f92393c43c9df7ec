"""How a schedule is judged: folds, and what the polls of held-out operations cost."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import fmean

from benchmarks.schedule.pollers import FIRST_POLL, Ages, ewma, planned
from benchmarks.schedule.recordings import Recording
from opswatch.core.durations import History
from opswatch.core.policy import Policy
from opswatch.core.schedule import Expectation, expect, expect_unknown, expected_end, is_slow

NOW = datetime(2026, 11, 26, tzinfo=UTC)
_FOLDS, _SEED = 5, 7
_RUNNING_FOR = 10.0  # seconds: ranges are judged for operations that have run so long
Fold = tuple[list[Recording], list[Recording]]  # to learn from, to judge by
Poller = Callable[[str], Ages]  # from a kind to the ages at which its operations are polled


@dataclass(frozen=True, slots=True)
class Score:
    """What operations cost on average: polls, seconds of lag, and both at the cost of a poll."""

    polls: float
    lag_mean: float
    lag_p95: float
    cost: float

    def rounded(self) -> dict[str, float]:
        """Return the figures as a line of JSON has them."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


class Judge:
    """Adds up what the polls of operations cost."""

    def __init__(self, cost: float) -> None:
        self._cost = cost
        self._polls: list[tuple[float, float]] = []  # (value, weight)
        self._lags: list[tuple[float, float]] = []

    def add(self, ages: Ages, recordings: Iterable[Recording]) -> None:
        """Count operations, each with the same weight, that are polled at these ages."""
        for recording in recordings:
            durations = recording.durations
            for duration in durations:
                polls, lag = ages.score(duration)
                self._polls.append((polls, 1 / len(durations)))
                self._lags.append((lag, 1 / len(durations)))

    def score(self) -> Score:
        """Return the averages."""
        total = sum(weight for _, weight in self._lags)
        polls, lag = (
            sum(value * weight for value, weight in values) / total
            for values in (self._polls, self._lags)
        )
        below, p95 = 0.0, 0.0
        for value, weight in sorted(self._lags):
            below, p95 = below + weight, value
            if below >= 0.95 * total:
                break
        return Score(polls, lag, p95, self._cost * polls + lag)


# --- folds


def random_folds(recordings: Sequence[Recording]) -> Iterator[Fold]:
    """Yield folds of operations drawn at random."""
    order = list(range(len(recordings)))
    Random(_SEED).shuffle(order)  # noqa: S311 - not for cryptography
    for k in range(_FOLDS):
        yield _fold(recordings, set(order[k::_FOLDS]))


def neighbouring_folds(recordings: Sequence[Recording]) -> Iterator[Fold]:
    """Yield folds of neighbours within each kind, which one recording session may have made."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for i, recording in enumerate(recordings):
        places[recording.kind].append(i)
    for k in range(_FOLDS):
        yield _fold(
            recordings,
            {i for of in places.values() for j, i in enumerate(of) if j * _FOLDS // len(of) == k},
        )


def _fold(recordings: Sequence[Recording], held_out: set[int]) -> Fold:
    learned = [r for i, r in enumerate(recordings) if i not in held_out]
    return learned, [recordings[i] for i in sorted(held_out)]


# --- learning


def add_to(history: History, recording: Recording) -> History:
    """Return a history with one more operation, as opswatch learns it."""
    if recording.exact is not None:
        return history.add(recording.exact, recording.exact, NOW)
    return history.add(recording.low, recording.high, NOW)


def learn(recordings: Iterable[Recording], policy: Policy) -> Callable[[str], Expectation]:
    """Return what is expected of each kind after these operations."""
    histories: defaultdict[str, History] = defaultdict(History)
    for recording in recordings:
        histories[recording.kind] = add_to(histories[recording.kind], recording)
    known: dict[str, Expectation] = {}

    def expectation(kind: str) -> Expectation:
        if kind not in histories:
            return expect_unknown(policy)
        if kind not in known:
            known[kind] = expect(histories[kind], NOW, policy)
        return known[kind]

    return expectation


def learned_poller(
    recordings: Iterable[Recording],
    policy: Policy,
    *,
    first: float | None = FIRST_POLL,
    jitter: float = 0.0,
) -> Poller:
    """Return opswatch after these operations."""
    expectation = learn(recordings, policy)
    ages: dict[str, Ages] = {}

    def poller(kind: str) -> Ages:
        if kind not in ages:
            plan = expectation(kind).plan
            ages[kind] = planned(plan, policy, first=first, jitter=jitter)
        return ages[kind]

    return poller


def ewma_poller(recordings: Iterable[Recording]) -> Poller:
    """Return a poller that keeps a moving average of each kind, a quarter of it the latest."""
    means: dict[str, float] = {}
    for recording in recordings:
        duration = fmean(recording.durations)
        before = means.get(recording.kind, duration)
        means[recording.kind] = before + (duration - before) / 4
    every_30_s = ewma(30.0)
    ages = {kind: ewma(mean) for kind, mean in means.items()}
    return lambda kind: ages.get(kind, every_30_s)


def judge(folds: Iterable[Fold], poller: Callable[[list[Recording]], Poller], cost: float) -> Score:
    """Return the score of a poller that learns from one part of each fold, over the others."""
    judged = Judge(cost)
    for learned, held_out in folds:
        of = poller(learned)
        for kind, group in by_kind(held_out).items():
            judged.add(of(kind), group)
    return judged.score()


def judge_in_order(recordings: Sequence[Recording], policy: Policy) -> tuple[Score, Score, int]:
    """Return the score of learning from nothing, one operation after another.

    Also that of the first ten of each kind alone, and their number.
    """
    histories: defaultdict[str, History] = defaultdict(History)
    counts: Counter[str] = Counter()
    all_of_them, first_ten = Judge(policy.poll_cost), Judge(policy.poll_cost)
    few = 0
    for recording in recordings:
        kind = recording.kind
        known = expect(histories[kind], NOW, policy) if counts[kind] else expect_unknown(policy)
        ages = planned(known.plan, policy)
        all_of_them.add(ages, [recording])
        if counts[kind] < 10:  # noqa: PLR2004 - the first ten
            first_ten.add(ages, [recording])
            few += 1
        histories[kind] = add_to(histories[kind], recording)
        counts[kind] += 1
    return all_of_them.score(), first_ten.score(), few


def first_of_each_kind(recordings: Iterable[Recording], most: int = 10) -> list[Recording]:
    """Return the first operations of each kind, in their order."""
    counts: Counter[str] = Counter()
    first: list[Recording] = []
    for recording in recordings:
        if counts[recording.kind] < most:
            first.append(recording)
        counts[recording.kind] += 1
    return first


def by_kind(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """Return operations by their kind."""
    groups: defaultdict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        groups[recording.kind].append(recording)
    return groups


# --- what is shown


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often a range that was shown held, and how often an operation was falsely called slow."""

    covered: float  # shares
    above: float
    slow: float
    shown: int


def calibrate(folds: Iterable[Fold], policy: Policy, age: float = _RUNNING_FOR) -> Calibration:
    """Judge the ranges shown at an age, and `slow`, for held-out operations of known kinds."""
    covered = above = slow = shown = judged = 0.0
    for learned, held_out in folds:
        expectation, counts = learn(learned, policy), Counter(r.kind for r in learned)
        for recording in held_out:
            if counts[recording.kind] < 20:  # noqa: PLR2004 - as `slow` needs
                continue
            known = expectation(recording.kind)
            for duration in recording.durations:
                weight = 1 / len(recording.durations)
                judged += weight
                slow += weight * bool(is_slow(known, timedelta(seconds=duration)))
                found = expected_end(known, timedelta(seconds=age), NOW)
                if duration < age or found is None:
                    continue
                end = NOW + timedelta(seconds=duration)
                shown += weight
                covered += weight * (found.earliest_at <= end <= found.latest_at)
                above += weight * (end > found.latest_at)
    return Calibration(covered / shown, above / shown, slow / judged, round(shown))
