"""Kinds of operations whose durations are learned together: their keys, samples and rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from opswatch.core.durations import BINS, History, distribution, weight_of
from opswatch.core.keys import GUID, NOTHING, Key, Operation
from opswatch.core.policy import CLOCK_SKEW
from opswatch.core.watches import ARM_STATUSES, Watch

BINS_VERSION = 1  # raised when the bins' edges change: weights of other bins are not read
MOST_KINDS = 200  # that a provider keeps
MOST_RECENT = 20  # operations that a row lists

_OLDEST_FIRST_POLL = timedelta(seconds=60)  # that an end without times can be learned from
_MOST_COUNTS = 1e9  # in a bin: more is a corrupted row
_FIT = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*", re.ASCII)
_LONGEST_ROW_KEY = 128  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The duration of one ended operation: from `low` to `high`, which are equal if it is exact."""

    kind: Key
    low: float
    high: float
    status: str
    at: datetime  # when its end was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class KindDurations:
    """What is known of how long the operations of a kind take; also a part, to be merged."""

    provider: str
    kind: str  # as `kind_key` has it
    weights: tuple[tuple[int, float], ...] = ()  # (bin, weight) of each bin that has any
    bins: int = BINS_VERSION
    operations: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    recent: tuple[tuple[float, str, datetime], ...] = ()  # (duration, status, end), newest first
    updated_at: datetime | None = None

    @property
    def key(self) -> Key:
        """The provider and the kind."""
        return Key(self.provider, self.kind)

    def history(self, now: datetime) -> History:
        """Return the weights; empty if they are of other bins or make no sense."""
        if self.bins != BINS_VERSION:
            return History()
        weights = [0.0] * len(BINS)
        for i, weight in self.weights:
            if i not in BINS or not 0 <= weight < _MOST_COUNTS * weight_of(now):
                return History()
            weights[i] += weight
        return History(tuple(weights))


def kind_key(operation: Operation, kind: str | None) -> Key:
    """Return the key under which the durations of an operation are learned.

    Without a kind, or if the kind names the operation itself, it is the provider's collection.
    """
    provider, collection = operation.provider or NOTHING, operation.collection or NOTHING
    return kind_key_of(provider, collection, operation.operation_id, kind)


def kind_key_of(provider: str, collection: str, operation_id: str, kind: str | None) -> Key:
    """Return the key as `kind_key`, from the parts of an operation's key."""
    kind = (kind or "").lower()
    parts = kind.split("/")
    if not kind or operation_id.lower() in parts or any(map(GUID.fullmatch, parts)):
        return Key(provider, f"~{collection}")
    if len(kind) <= _LONGEST_ROW_KEY and _FIT.fullmatch(kind):
        return Key(provider, kind.replace("/", "~"))
    return Key(provider, sha256(kind.encode("utf-8", "surrogatepass")).hexdigest()[:32])


def duration_sample(watch: Watch) -> Sample | None:
    """Return what is learned from the end of a watch: nothing unless it is an end of ARM's.

    ARM's times count if its `endTime` is not before the last poll that saw the operation running:
    some providers send one while it runs. Without them the operation ended after that poll, or
    after its beginning if the first poll found it ended soon enough to say anything.
    """
    facts, end = watch.facts, watch.end
    if end is None or end.status not in ARM_STATUSES:
        return None
    seen_at, start = end.finished_at, facts.start_time
    began_at = facts.began_at(seen_at)
    running_at = watch.last_running_at or began_at
    if start == began_at and end.end_time and running_at <= end.end_time <= seen_at + CLOCK_SKEW:
        low = high = (end.end_time - start).total_seconds()
    elif watch.last_running_at is None and seen_at - began_at > _OLDEST_FIRST_POLL:
        return None
    else:
        low, high = ((at - began_at).total_seconds() for at in (running_at, seen_at))
    return Sample(
        kind=kind_key(facts.operation, facts.kind),
        low=low,
        high=high,
        status=end.status.value,
        at=seen_at,
    )


def count_sample(known: KindDurations | None, sample: Sample) -> KindDurations:
    """Return what is known of a kind after one more operation; percentiles are left out."""
    known = known or KindDurations(provider=sample.kind.partition, kind=sample.kind.row)
    seconds = round((sample.low + sample.high) / 2, 1)
    one = KindDurations(
        provider=known.provider,
        kind=known.kind,
        weights=_pairs(History().add(sample.low, sample.high, sample.at)),
        operations=1,
        recent=((seconds, sample.status, sample.at.replace(microsecond=0)),),
    )
    return merge_durations(known, one, sample.at)


def merge_durations(one: KindDurations, other: KindDurations, now: datetime) -> KindDurations:
    """Return what is known of a kind from two parts that count different operations."""
    history = one.history(now).merge(other.history(now))
    recent = sorted((*one.recent, *other.recent), key=lambda entry: entry[2], reverse=True)
    return replace(
        one,
        weights=_pairs(history),
        bins=BINS_VERSION,
        operations=one.operations + other.operations,
        recent=tuple(recent[:MOST_RECENT]),
        updated_at=now,
    )


def with_percentiles(known: KindDurations, now: datetime) -> KindDurations:
    """Return `known` with the percentiles of its distribution."""
    durations = distribution(known.history(now).counts(now))
    p50, p90, p99 = (round(durations.quantile(share), 1) for share in (0.5, 0.9, 0.99))
    return replace(known, p50=p50, p90=p90, p99=p99)


def least_used(kinds: Sequence[KindDurations], now: datetime) -> Sequence[KindDurations]:
    """Return the kinds that a provider has beyond `MOST_KINDS`: those with the least weight."""
    by_use = sorted(kinds, key=lambda known: sum(known.history(now).weights))
    return by_use[: max(0, len(by_use) - MOST_KINDS)]


def _pairs(history: History) -> tuple[tuple[int, float], ...]:
    """Return the bins that have any weight, to five digits: what a row stores."""
    rounded = [(i, float(f"{weight:.5g}")) for i, weight in enumerate(history.weights)]
    return tuple((i, int(w) if w.is_integer() else w) for i, w in rounded if w)
