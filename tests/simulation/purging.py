"""Runs in which results get old: the purge meets late receivers, replays, crashes and stalls."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.watches import Result
from opswatch.steps.purge import purge
from tests.simulation.run import POLICY, Run, key_of_path
from tests.simulation.scenario import NEVER, Post, Scenario, UserRequest
from tests.simulation.scheduler import Task

RETENTION = timedelta(minutes=15)  # longer than the longest stall
_PURGES_FROM, _PURGES_UNTIL = 600.0, 6000.0  # seconds, unless nothing is left before
_PURGES_OF_OLD = (900.0, 960.0, 1020.0)  # seconds: the first that find an old result
_MEETS_PURGE = 0.7  # of the late posts and replays
_FAULTS_FROM = 850.0  # seconds: what ends before was told before


def _instant(random: Random) -> float:
    """Return when results get old: mostly about the time of a purge, or any time."""
    if random.random() < _MEETS_PURGE:
        return random.choice(_PURGES_OF_OLD) + random.uniform(-0.5, 0.5)
    return random.uniform(860, 1180)


class PurgedRun(Run):
    """A run of a quarter of an hour more, in which everything is removed in the end."""

    policy = replace(POLICY, retention=RETENTION)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.results.on_removal = self._check_age
        self.records.on_removal = self._check_record
        self.faults.outage = None
        # A result that is written a minute after its purge has no entry that leads to it.
        self.faults.may_be_late = False
        left, self.faults.left = self.faults.left, 0
        self.scheduler.schedule(_FAULTS_FROM, self._let_faults_strike, left)
        self.scheduler.schedule(_PURGES_FROM, self._purge, None)

    def _draw(self) -> Scenario:
        scenario, random = super()._draw(), self.random
        for operation in scenario.operations:
            operation.ends_at = min(operation.ends_at, 60.0)
            operation.miss_rate, operation.gone_at, operation.timeout = 0.0, NEVER, None
        requests = [request for request in scenario.requests if request.verb == "redeliver"]
        for operation in scenario.operations:
            for _ in range(random.choice((0, 1, 1, 2))):
                receiver = random.randrange(len(scenario.receivers))
                scenario.posts.append(Post(_instant(random), operation, receiver))
            if random.random() < 0.3:
                requests.append(UserRequest(_instant(random), operation, "redeliver"))
        return replace(scenario, requests=requests)

    def _is_repaired(self) -> bool:
        return True

    def _let_faults_strike(self, left: int) -> None:
        self.faults.left = left

    def _is_over(self) -> bool:
        is_late = self.scheduler.now > _PURGES_UNTIL
        return super()._is_over() and (is_late or not any(self._left()))

    def _left(self) -> Iterator[Any]:
        """Yield what the purge has not removed."""
        store, is_replayed = self.store, any(r.verb == "redeliver" for r in self.scenario.requests)
        tables: list[Any] = [store.watches, store.outbox, store.results, store.timeline]
        tables.append(store.rejections)
        if not is_replayed:  # a replay that was cut off may leave a record that nothing lists
            tables.append(store.deliveries)
        for table in tables:
            yield from table.values()

    def _purge(self, _: None) -> None:
        """Fire the timer, every minute; two purges meet only after a stall."""
        if self._is_over():
            return
        self.scheduler.schedule(60.0, self._purge, None)
        worker = self.scheduler.choose_worker()
        if worker is not None:
            coroutine: Any = self._run_purge(self.services[worker])
            self.scheduler.spawn(Task("purge", worker, coroutine, lambda _: None))

    @staticmethod
    async def _run_purge(services: Any) -> None:
        with suppress(ExceptionGroup):  # a part has failed; the next run continues
            await purge(services)

    def _check_age(self, result: Result) -> None:
        age = self.scheduler.clock() - result.end.finished_at
        if age + timedelta(seconds=61) < RETENTION:
            self.scheduler.violate(f"purged after {age}: {result}")

    def _check_record(self, record: Delivery) -> None:
        """Check that a delivery that was abandoned had a reason.

        1. A receiver was called. A user asks for a replay, or the operation is posted again and the
           worker stalls: a delivery is created while or after the purge removes the result.
        2. The worker crashes before it has kept the result, or has seen that nothing is left to do;
           or its insertion is repeated, and it takes its own row for another worker's.
        """
        (receiver,) = (r for r in self.scenario.receivers if r.url == record.callback_url)
        if record.state is not DeliveryState.ABANDONED or receiver.is_retired:
            return
        was_called = any(key_of_path(path) == record.operation for path in receiver.accepted)
        is_purged = record.reason == "the result has been purged"
        if not (is_purged and was_called and self.disturbances()):
            self.scheduler.violate(f"abandoned without a reason: {record}")

    def problems(self) -> Iterator[str]:
        """Find what has stayed, and who was not told."""
        yield from (f"left behind: {noun}" for noun in self._left())
        for post in self.scenario.posts:
            if post.receiver is not None:
                receiver = self.scenario.receivers[post.receiver]
                if not receiver.is_retired and post.operation.path not in receiver.accepted:
                    yield f"{receiver.url} was not told of {post.operation}"
