"""One run: a scenario, workers and faults from one seed, and the invariants at its end."""

import logging
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

from opswatch import steps
from opswatch.core.deliveries import Delivery
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.watches import Watch
from opswatch.ports import Services, Store
from opswatch.rows.codec import Codec
from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import DELIVERIES, RESULTS, TABLES, WATCHES
from opswatch.testing import MemoryPoisonQueue, MemoryStore, MemoryTable
from tests.simulation.clockwork import Clockwork, LostAnswerError, Task, Worker
from tests.simulation.faults import (
    Faults,
    FaultyArm,
    FaultyCallbacks,
    FaultyPoisonQueue,
    FaultyQueue,
    FaultyTable,
)
from tests.simulation.host import HostedQueue
from tests.simulation.scenario import Life, Wish, draw
from tests.support.harness import ENDPOINT, make_services, status_path

T = TypeVar("T")
Forgives = Callable[[T, T], bool]
POLICY = Policy(
    timeout=timedelta(minutes=20),
    miss_grace=timedelta(minutes=2),
    callback_schedule=tuple(timedelta(seconds=s) for s in (0, 5, 10, *[20] * 17)),
)
LAST_POST = 200.0  # seconds
UNTIL = 6 * 3600.0  # seconds: by then everything rests
MOST_EVENTS = 20_000


class Book(MemoryTable[T]):
    """A table that remembers when a row first told of an end, which then must not change."""

    def __init__(self, codec: Codec[T], clockwork: Clockwork, forgives: Forgives[T]) -> None:
        super().__init__(codec)
        self._clockwork, self._forgives = clockwork, forgives
        self.ended_at: dict[Key, float] = {}

    def _write(self, key: Key, value: T) -> Any:
        if key in self.ended_at and key in self.rows:
            old = self._read(self.rows[key]).value
            if old != value and not self._forgives(old, value):
                self._clockwork.violate(f"a record is rewritten: {old} becomes {noun}")
        if not isinstance(value, Watch) or value.end is not None:
            self.ended_at.setdefault(key, self._clockwork.now)
        return super()._write(key, value)

    def told(self, key: Key) -> bool:
        """Tell whether the end was to be read here when the present task began."""
        task = self._clockwork.current
        return task is not None and task.began > self.ended_at.get(key, task.began)


class Run:
    """Everything of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - a simulation
        self.clockwork = Clockwork(self.random)
        self.scenario = draw(self.random)
        self.is_reconciled = self.random.random() < 0.5
        self.faults = Faults(
            self.clockwork,
            rate=self.random.choice((0.0, 0.02, 0.05, 0.15, 0.4)),
            left=self.random.randrange(13 if self.is_reconciled else 5),
        )
        self.rewoken = 0
        self.worlds: dict[Worker, Services] = {}
        self.ends = Book(WATCHES, self.clockwork, _end_is_kept)
        self.records = Book(DELIVERIES, self.clockwork, self._is_replay)
        self.results = Book(RESULTS, self.clockwork, lambda _old, _new: False)
        self.store = MemoryStore(watches=self.ends, results=self.results, deliveries=self.records)
        self.operations, self.deliveries = (self._queue(name) for name in QUEUES)
        self.operations.step = steps.operations_message
        self.deliveries.step = steps.deliveries_message
        self._hire()
        self._plan()

    # --- building

    def _queue(self, name: str) -> HostedQueue:
        queue = HostedQueue(name, self.clockwork, self.faults, self.worlds)
        if self.is_reconciled:
            queue.most_deliveries = 5
            queue.giving_up = self.random.choice((0.0, 0.0, 0.05))
            queue.vanishing = self.random.choice((0.0, 0.0, 0.1, 0.3))
        return queue

    def _hire(self) -> None:
        faults, skews = self.faults, self.random.choice((0.0, 0.5, 30.0))
        store = Store(
            **{name: FaultyTable(name, getattr(self.store, name), faults) for name in TABLES}
        )
        poison = tuple(
            FaultyPoisonQueue(MemoryPoisonQueue(queue.poison), faults)
            for queue in (self.operations, self.deliveries)
        )
        for number in range(self.random.choice((1, 2, 2, 3))):
            worker = Worker(f"worker {number}", skews * (2 * self.random.random() - 1))
            self.clockwork.workers.append(worker)
            self.worlds[worker] = make_services(
                store=store,
                operations=FaultyQueue("operations", self.operations, faults),
                deliveries=FaultyQueue("deliveries", self.deliveries, faults),
                poison=poison,
                arm=FaultyArm(faults, self._serve_arm),
                callbacks=FaultyCallbacks(faults, self._serve_callback),
                clock=lambda worker=worker: self.clockwork.clock(worker.skew),  # type: ignore[misc]
                policy=POLICY,
            )

    def _plan(self) -> None:
        after = self.clockwork.after
        for post in self.scenario.posts:
            after(post.at, self._post, post.body(self.scenario.receivers))
        for body in self.scenario.invalid:
            after(30 * self.random.random(), self._post, body)
        for wish in self.scenario.wishes:
            after(wish.at, self._wish, wish)
        if self.is_reconciled:
            after(60 * self.random.random(), self._reconcile, None)

    # --- the outside at work

    def _post(self, body: bytes) -> None:
        self.clockwork.note("a user posts", body)
        self.operations.post(body)

    def _wish(self, wish: Wish) -> None:
        """Ask over HTTP; a user who gets no answer asks again."""
        worker = self.clockwork.any_worker()

        def again() -> None:
            self.clockwork.after(5.0, self._wish, wish)

        def ended(outcome: Any) -> None:
            if isinstance(outcome, LostAnswerError):
                again()

        if worker is None:
            again()
            return
        services, key = self.worlds[worker], key_of(wish.life)
        step: Any = steps.stop if wish.verb == "stop" else steps.redeliver
        self.clockwork.spawn(Task(wish.verb, worker, step(services, key), ended, again))

    def _reconcile(self, _: None) -> None:
        """Fire the timer, every minute until nothing is left to do."""
        if self.clockwork.now > LAST_POST and self._is_at_rest():
            return
        self.clockwork.after(60.0, self._reconcile, None)
        worker = self.clockwork.any_worker()
        if worker is not None:
            coroutine: Any = steps.repair(self.worlds[worker])
            task = Task("reconcile", worker, coroutine, lambda _: None, lambda: None)
            self.clockwork.spawn(task)

    def _is_at_rest(self) -> bool:
        queues = (self.operations, self.deliveries)
        return not (
            self.store.watches.rows
            or self.store.outbox.rows
            or any(queue.messages or queue.poison.messages for queue in queues)
            or any(worker.tasks for worker in self.clockwork.workers)
        )

    def _serve_arm(self, url: str) -> HttpResponse | NoAnswer:
        for life in self.scenario.lives:
            if url.startswith(ENDPOINT + status_path(life.operation_id)):
                if self.ends.told(key_of(life)) or self.results.told(key_of(life)):
                    self.clockwork.violate(f"{life.operation_id} is polled after its end")
                return life.answer(self.clockwork)
        raise AssertionError(url)

    def _serve_callback(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        (receiver,) = (r for r in self.scenario.receivers if r.url == request.url)
        for life in self.scenario.lives:
            key = wire.delivery_key(key_of(life), request.url)
            is_this = request.headers["webhook-id"] == wire.delivery_id(key, request.url)
            if is_this and self.records.told(key) and not self.asked_again(key_of(life)):
                self.clockwork.violate(f"{receiver.url} is called after its delivery was settled")
        return receiver.answer(self.clockwork, request)

    # --- running

    def run(self) -> None:
        """Run until everything rests, or an invariant breaks."""
        logger = logging.getLogger("opswatch")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            self.clockwork.run(UNTIL, MOST_EVENTS)
        finally:
            logger.setLevel(level)

    # --- what was asked for

    def asked_again(self, key: Key) -> bool:
        """Tell whether a user wished a replay of the operation's deliveries."""
        return any(w.verb == "redeliver" and key_of(w.life) == key for w in self.scenario.wishes)

    def disturbances(self) -> int:
        """Return how often something happened that may cost an extra poll or POST."""
        first_posts = len({post.life.operation_id for post in self.scenario.posts})
        repeated_posts = len(self.scenario.posts) - first_posts
        wishes = len(self.scenario.wishes)
        return self.faults.struck + self.clockwork.tasks_lost + repeated_posts + wishes

    def _is_replay(self, old: Delivery, new: Delivery) -> bool:
        return self.asked_again(new.operation) and new.started_at != old.started_at


def _end_is_kept(old: Watch, new: Watch) -> bool:
    """Forgive what may happen to a watch whose end is kept, and to one begun after the end."""
    return new.end == old.end or new.facts.polls == 0


def key_of(life: Life) -> Key:
    return operation_from_url(ENDPOINT + status_path(life.operation_id)).key
