"""opswatch in the model: the real core decides; messages, writes and looks are counted."""

import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from benchmarks.scaling import rules
from benchmarks.scaling.host import Done, Function, Instance, Timeline
from benchmarks.scaling.rules import Rules
from opswatch.core.intake import Registration
from opswatch.core.keys import operation_from_url
from opswatch.core.observations import Ended, Running
from opswatch.core.policy import Policy
from opswatch.core.polls import Wait, after_poll
from opswatch.core.schedule import Expectation
from opswatch.core.watches import Watch, begin

START = datetime(2026, 11, 26, tzinfo=UTC)
_ENDPOINT = "https://management.azure.com"
_LOOK = "look"


@dataclass(eq=False, slots=True)
class Operation:
    """An operation, and its watch."""

    watch: Watch
    ends_at: float
    retry_after: float | None  # what ARM asks for, seconds
    partition: int  # its subscription


class App:
    """The functions `operations` and `deliveries`, over one storage account."""

    def __init__(
        self,
        timeline: Timeline,
        policy: Policy,
        how: Rules,
        seed: int,
        expectation: Expectation | None = None,
    ) -> None:
        self.requests: Counter[str] = Counter()
        self.operations = Function(timeline, self.requests, self._run_operations)
        self.deliveries = Function(timeline, self.requests, self._run_delivery)
        self.rows = 0
        self.scanned = 0  # rows that looks have read
        self.polls = 0
        self.late: list[float] = []
        self.lags: list[float] = []
        self._timeline = timeline
        self._policy = policy
        self._expectation = expectation
        self._how = how
        self._random = Random(seed)  # noqa: S311 - a model
        self._far: list[tuple[float, int, Operation]] = []
        self._numbers = count()
        self._looks = False
        self._empty_looks = 0

    def post(self, operation: Operation) -> None:
        """Take an operation that a user posts now."""
        self.rows += 1
        self.operations.queue.send([operation], 0)

    def add(self, operation: Operation) -> None:
        """Take an operation that was polled before the model begins, and waits."""
        self.rows += 1
        due = _seconds(operation.watch.due_at)
        if (operation.retry_after or 0.0) > self._how.near:
            self._wait_far(operation, due)
        else:
            self.operations.queue.add([operation], due)

    # --- the function `operations`

    def _run_operations(self, instance: Instance, message: Any, done: Done) -> None:
        now = self._timeline.now
        instance.compute(now, rules.CPU_MESSAGE)
        if message == _LOOK and self._looks:
            self._look(done)
            return
        if message == _LOOK:  # that of a look-ahead which has ended
            self.requests["read"] += 1
            self._timeline.at(now + rules.STORAGE_LATENCY, done)
            return
        left = len(message)

        def one_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        for operation in message:
            if operation.watch.facts.polls == 0:
                self.requests.update(REGISTRATION)
            elif self._how.reads:
                self.requests["read"] += 1
            asked = instance.compute(now, rules.CPU_POLL)
            self.late.append(asked - _seconds(operation.watch.due_at))
            answered = asked + self._random.uniform(*self._how.arm_latency)
            self._timeline.at(answered, self._after_poll, instance, operation, one_done)

    def _after_poll(self, instance: Instance, operation: Operation, done: Done) -> None:
        now, instant = self._timeline.now, _instant(self._timeline.now)
        self.polls += 1
        if now >= operation.ends_at:
            seen: Running | Ended = Ended(status="Succeeded", end_time=instant)
            self.lags.append(now - operation.ends_at)
        else:
            wait = operation.retry_after
            seen = Running(
                status="InProgress", retry_after=None if wait is None else timedelta(seconds=wait)
            )
        action = after_poll(operation.watch, seen, instant, self._policy, self._expectation)
        operation.watch = action.watch
        if isinstance(action, Wait):
            self._wait(instance, operation, done)
            return
        self.rows -= 1
        self.requests.update(FINISH)
        self.deliveries.queue.send(operation, 0)
        self._timeline.at(now + len(FINISH) * rules.STORAGE_LATENCY, done)

    def _wait(self, instance: Instance, operation: Operation, done: Done) -> None:
        """Near: send, then commit. Far: commit, and see that the look-ahead runs."""
        due, how = _seconds(operation.watch.due_at), self._how

        def commit() -> None:
            key = ("commit", operation.partition)
            self._gather(instance, key, done, how.changes, self._transact)

        if due - self._timeline.now > how.near:
            self._wait_far(operation, due)
            commit()
        else:
            key = ("send", int(due))
            self._gather(instance, key, (operation, commit), how.wake_ups, self._send_group)

    def _wait_far(self, operation: Operation, due: float) -> None:
        heapq.heappush(self._far, (due, next(self._numbers), operation))
        if not self._looks:
            self._looks, self._empty_looks = True, 0
            self.requests.update(START_LOOKING)
            self.operations.queue.send(_LOOK, 0)

    def _gather(
        self,
        instance: Instance,
        key: tuple[str, int],
        item: Any,
        most: int,
        write: Callable[[list[Any]], None],
    ) -> None:
        """Write what an instance gathers under a key: after 20 ms, or if it is full."""
        group = instance.groups.get(key)
        if group is None:
            group = instance.groups[key] = []
            flush = self._timeline.now + self._how.gather
            self._timeline.at(flush, self._flush, instance, key, group, write)
        group.append(item)
        if len(group) >= most:
            self._flush(instance, key, group, write)

    def _flush(
        self,
        instance: Instance,
        key: tuple[str, int],
        group: list[Any],
        write: Callable[[list[Any]], None],
    ) -> None:
        if instance.groups.get(key) is group:  # else it was full before
            del instance.groups[key]
            write(group)

    def _transact(self, group: list[Done]) -> None:
        self.requests["transaction" if self._how.changes > 1 else "write"] += 1
        for done in group:
            self._timeline.at(self._timeline.now + rules.STORAGE_LATENCY, done)

    def _send_group(self, group: list[tuple[Operation, Done]]) -> None:
        latest = max(_seconds(operation.watch.due_at) for operation, _ in group)
        self._send([operation for operation, _ in group], latest - self._timeline.now)
        for _, commit in group:
            self._timeline.at(self._timeline.now + rules.STORAGE_LATENCY, commit)

    def _send(self, operations: list[Operation], delay: float) -> None:
        self.requests["send"] += 1
        self.operations.queue.send(operations, max(delay, 0.0))

    def _look(self, done: Done) -> None:
        """Send the wake-ups of what falls due within reach, and look again 5 s later."""
        now = self._timeline.now
        self._empty_looks = 0 if self._far else self._empty_looks + 1
        if self._empty_looks > rules.EMPTY_LOOKS:
            self._looks = False
        self.requests.update(LOOK if self._looks else LAST_LOOK)
        self.operations.queue.send(_LOOK, self._how.period)
        # If it finds nothing, a second query asks whether anything waits.
        finds = self._far and self._far[0][0] < now + self._how.reach
        pages = max(1, math.ceil(self.rows / rules.PAGE)) * (1 if finds else 2)
        self.requests["query"] += pages
        self.scanned += self.rows if finds else 2 * self.rows
        self._timeline.at(now + pages * rules.PAGE_LATENCY, self._wake, done)

    def _wake(self, done: Done) -> None:
        now = self._timeline.now
        seconds: dict[int, list[Operation]] = {}
        while self._far and self._far[0][0] < now + self._how.reach:
            due, _, operation = heapq.heappop(self._far)
            seconds.setdefault(int(due), []).append(operation)
        for operations in seconds.values():
            for start in range(0, len(operations), self._how.wake_ups):
                batch = operations[start : start + self._how.wake_ups]
                latest = max(_seconds(operation.watch.due_at) for operation in batch)
                self._send(batch, latest - now)
        self._timeline.at(now + 2 * rules.STORAGE_LATENCY, done)

    # --- the function `deliveries`

    def _run_delivery(self, instance: Instance, _: Any, done: Done) -> None:
        """Deliver at the first attempt."""
        self.requests.update(DELIVERY)
        answered = instance.compute(self._timeline.now, rules.CPU_POLL)
        self._timeline.at(answered + self._random.uniform(*self._how.arm_latency), done)


# Requests that do not depend on how an operation is polled; its messages are counted by the host.
REGISTRATION = {"insert": 2, "read": 1}  # the watch, the timeline; is there a result?
FINISH = {"read": 1, "write": 1, "insert": 2, "remove": 1, "send": 1}
DELIVERY = {"read": 4, "insert": 1, "write": 1, "remove": 1}
START_LOOKING = {"read": 1, "insert": 1, "send": 1}
LOOK = {"read": 1, "write": 1, "send": 1}
LAST_LOOK = {"read": 1, "send": 1, "remove": 1}


def new_watch(number: int, subscription: int, now: float, policy: Policy) -> Watch:
    """Return the watch of an operation that is registered now."""
    path = (
        f"/subscriptions/{subscription:08x}-0000-0000-0000-000000000000/providers/Microsoft.Cache"
        f"/locations/westus/operationsStatus/{number}?api-version=2024-10-01"
    )
    registration = Registration(operation=operation_from_url(_ENDPOINT + path))
    return begin(registration, _instant(now), policy)


def waiting_watch(number: int, subscription: int, due: float, policy: Policy) -> Watch:
    """Return a watch that was polled before, and is due at `due`."""
    watch = new_watch(number, subscription, 0.0, policy)
    facts = replace(watch.facts, polls=9, last_polled_at=START)
    return replace(watch, facts=facts, due_at=_instant(due), seq=10)


def _instant(now: float) -> datetime:
    return START + timedelta(seconds=now)


def _seconds(instant: datetime) -> float:
    return (instant - START).total_seconds()
