"""Keeps to ARM's budget of reads: a poll that would empty a bucket is postponed to a later turn.

A process knows only its own reads, but the headers of the answers show what is left for all.
Buckets belong to a subscription and the app's identity, and to a resource provider within it:
https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from math import inf

from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import NOTHING, Operation, stable_random
from opswatch.core.observations import Missed, Observation

_FRESH = 2.0  # seconds for which a header says anything: a bucket refills within ten
_SHARE_FOR_NEW, _SHARE_FOR_WAITING = 0.3, 0.1  # of a full bucket that must be left for a read
_WINDOW = 30.0  # seconds over which the rate of answers is measured
_LEAST_RATE = 0.5  # answers a second
_PATIENCE = 300.0  # seconds to the latest turn: later ones ask again
_MOST_GATES = 2000  # in memory: a post can name any subscription
_LONGEST_PAUSE = timedelta(hours=1)  # after a 429
_SUBSCRIPTION_PREFIX = "x-ms-ratelimit-remaining-subscription-"
_RESOURCE_HEADER = "x-ms-ratelimit-remaining-resource"
_READS = ("reads", "global-reads")
_RESOURCE_LIMIT = re.compile(r"([^;,\s]+);(\d{1,9})", re.ASCII)


@dataclass(slots=True)
class _Bucket:
    most: float = 1.0
    left: float = inf

    def saw(self, left: float) -> None:
        self.most, self.left = max(self.most, left), left


@dataclass(slots=True)
class _Gate:
    """When reads may be made from some buckets; times are seconds."""

    buckets: dict[str, _Bucket] = field(default_factory=dict)
    seen_at: float = -inf
    shut_until: float = -inf
    last_turn: float = -inf
    first_at: float = inf  # the first answer
    answered_at: deque[float] = field(default_factory=deque)

    def is_open(self, now: float, share: float) -> bool:
        """Return whether a read may be made that needs `share` of each bucket to be left."""
        if now < self.shut_until:
            return False
        if now - self.seen_at > _FRESH:
            return True
        return all(bucket.left >= share * bucket.most for bucket in self.buckets.values())

    def take(self) -> None:
        """Count a read until the next header shows it."""
        for bucket in self.buckets.values():
            bucket.left -= 1

    def next_turn(self, now: float, spread: float) -> float:
        """Return how long to wait: turns are as far apart as answers have lately come."""
        self._forget_old_answers(now)
        window = min(_WINDOW, max(1.0, now - self.first_at))  # a new process has less
        rate = max(_LEAST_RATE, len(self.answered_at) / window)
        opens_at = max(now, self.shut_until)
        turn = max(self.last_turn, opens_at) + 1 / rate
        if turn - opens_at > _PATIENCE:
            return opens_at - now + _PATIENCE * (1 + spread) / 2
        self.last_turn = turn
        return turn - now

    def record(self, remaining: Mapping[str, float], now: float) -> None:
        """Learn from the headers of an answer that was not refused."""
        self.first_at = min(self.first_at, now)
        self.answered_at.append(now)
        self._forget_old_answers(now)
        for name, left in remaining.items():
            self.buckets.setdefault(name, _Bucket()).saw(left)
        if remaining:
            self.seen_at = now

    def _forget_old_answers(self, now: float) -> None:
        while self.answered_at and self.answered_at[0] < now - _WINDOW:
            self.answered_at.popleft()

    def shut(self, pause: timedelta, now: float) -> None:
        """Stop reads after a 429."""
        self.shut_until = max(self.shut_until, now + pause.total_seconds())


class ReadBudget:
    """The gates of the subscriptions and of their providers, for one identity."""

    def __init__(self) -> None:
        self._gates: dict[tuple[str, str], _Gate] = {}

    def delay(self, operation: Operation, now: datetime, *, has_waited: bool) -> timedelta:
        """Return zero and count the read if it may be made now, or else how long to postpone it."""
        at, share = now.timestamp(), _SHARE_FOR_WAITING if has_waited else _SHARE_FOR_NEW
        gates = self._gates_of(operation)
        shut = [gate for gate in gates if not gate.is_open(at, share)]
        if shut:
            spread = stable_random(operation.key, int(at))
            return timedelta(seconds=max(gate.next_turn(at, spread) for gate in shut))
        for gate in gates:
            gate.take()
        return timedelta(0)

    def record(
        self,
        operation: Operation,
        answer: HttpResponse | NoAnswer,
        seen: Observation,
        now: datetime,
    ) -> None:
        """Learn from an answer what is left, and whether ARM throttles."""
        if isinstance(answer, NoAnswer):
            return
        at, (subscription, provider) = now.timestamp(), self._gates_of(operation)
        if isinstance(seen, Missed) and seen.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            gate = provider if "ResourceRequestsThrottled" in seen.reason else subscription
            # Without a Retry-After only the refused poll backs off.
            gate.shut(min(seen.retry_after or timedelta(0), _LONGEST_PAUSE), at)
            return
        subscription.record(_subscription_reads(answer.headers), at)
        provider.record(_resource_reads(answer.headers), at)

    def _gates_of(self, operation: Operation) -> tuple[_Gate, _Gate]:
        subscription, provider = operation.key.partition, operation.provider or NOTHING
        return self._gate((subscription, "")), self._gate((subscription, provider))

    def _gate(self, key: tuple[str, str]) -> _Gate:
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = _Gate()
            if len(self._gates) > _MOST_GATES:
                del self._gates[next(iter(self._gates))]  # the oldest: at worst it learns again
        return gate


def _subscription_reads(headers: Mapping[str, str]) -> dict[str, float]:
    """Return what is left in the buckets of a subscription's reads."""
    texts = {name: headers.get(_SUBSCRIPTION_PREFIX + name, "").strip() for name in _READS}
    return {name: float(text) for name, text in texts.items() if text.isdecimal()}


def _resource_reads(headers: Mapping[str, str]) -> dict[str, float]:
    """Return what is left in a provider's buckets: `Microsoft.X/Y;n,…`."""
    limits = _RESOURCE_LIMIT.findall(headers.get(_RESOURCE_HEADER, ""))
    return {name: float(left) for name, left in limits}
