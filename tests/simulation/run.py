"""One run: a scenario, workers and faults from one seed."""

import base64
import gc
import hmac
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import InFlight
from opswatch.bootstrap import remembers_watch
from opswatch.core.deliveries import Delivery, new_delivery
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.lookahead import Look
from opswatch.core.policy import Policy
from opswatch.core.watches import Watch
from opswatch.ports import Services, Store
from opswatch.rows.messages import DELIVERIES_QUEUE, OPERATIONS_QUEUE, decode_message
from opswatch.rows.tables import (
    DELIVERIES,
    HOSTS,
    LOOKAHEAD,
    OUTBOX,
    RESULTS,
    TIMELINE,
    WATCHES,
)
from opswatch.steps.control import stop
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.repair import repair
from opswatch.testing import MemoryPoisonQueue, MemoryStore
from tests.simulation.durations import SimulatedDurations
from tests.simulation.faults import (
    AROUND_ATTEMPTS,
    Faults,
    FaultyArm,
    FaultyCallbacks,
    FaultyPort,
    Process,
    draw_outage,
)
from tests.simulation.host import AuditedQueue, HostedQueue, Step
from tests.simulation.scenario import Operation, Scenario, UserRequest, draw
from tests.simulation.scheduler import LostAnswerError, Scheduler, Task, Worker
from tests.simulation.tables import AuditedTable, SimulatedTable, TransactionalTable
from tests.support.control import redeliver
from tests.support.harness import ENDPOINT, SECRET, START, STORED, make_services

POLICY = Policy(
    timeout=timedelta(minutes=20),
    miss_grace=timedelta(minutes=2),
    callback_schedule=tuple(timedelta(seconds=s) for s in (0, 5, 10, *[20] * 17)),
)
LONG_BUSY = 3000.0  # seconds: longer than the callbacks' schedule
UNTIL = 6 * 3600.0  # seconds, by which nothing may be left to do
MOST_EVENTS = 20_000
_SHOWN = frozenset({"summary", "hours", "running", "pending"})  # tables that only a page needs
_OUTAGES = 0.25  # of the runs with a repair
_FAILING_RATE, _LONG_BUSY_RATE, _SLOW_COMMITS_RATE = 0.1, 0.05, 0.1
MOST_SKEW = 30.0  # seconds, of a worker's clock


class Run:
    policy = POLICY

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - a simulation
        self.scheduler = Scheduler(self.random)
        self.scenario = self._draw()
        self.is_repaired = self._is_repaired()
        self.sees_looks_end = self.is_repaired and not seed % 4
        self.faults = Faults(
            self.scheduler,
            rate=self.random.choice((0.0, 0.02, 0.05, 0.15, 0.4)),
            left=self.random.randrange(13 if self.is_repaired else 5),
        )
        if self.is_repaired and self.random.random() < _OUTAGES:
            self.faults.outage = draw_outage(self.random)
        receivers = Random(-1 - seed)  # noqa: S311 - a simulation
        if receivers.random() < _LONG_BUSY_RATE:
            self.faults.busy_until = LONG_BUSY
        if self.is_repaired and not self.faults.outage and receivers.random() < _FAILING_RATE:
            self.faults.left = 0
            self.faults.failing = receivers.choice(AROUND_ATTEMPTS)
            self.faults.failing_time = receivers.choice((60.0, 600.0))
        if not self.is_repaired and receivers.random() < _SLOW_COMMITS_RATE:
            self.faults.slow_rate = 0.2
        self.services: dict[Worker, Services] = {}
        self.awaited = 0  # what users have not done yet, and requests without an answer
        self.watches = AuditedTable(WATCHES, self.scheduler, _may_replace_watch)
        self.records = AuditedTable(DELIVERIES, self.scheduler, self._may_replace_record)
        self.results = AuditedTable(RESULTS, self.scheduler, lambda _old, _new: False)
        self.store = MemoryStore(
            watches=self.watches,
            results=self.results,
            deliveries=self.records,
            outbox=TransactionalTable(OUTBOX),
            lookahead=SimulatedTable(LOOKAHEAD),
            timeline=SimulatedTable(TIMELINE),
            hosts=SimulatedTable(HOSTS),
        )
        self.operations = self._queue(OPERATIONS_QUEUE, operations_message)
        self.deliveries = self._queue(DELIVERIES_QUEUE, deliveries_message)
        self._start_workers()
        self._plan()

    def _draw(self) -> Scenario:
        return draw(self.random)

    def _is_repaired(self) -> bool:
        return self.random.random() < 0.5

    def _queue(self, name: str, step: Step) -> HostedQueue:
        queue = HostedQueue(name, step, self.faults, self.services, self._is_over)
        if self.is_repaired:
            queue.most_deliveries = 5
            queue.poison_rate = self.random.choice((0.0, 0.0, 0.05))
            queue.loss_rate = self.random.choice((0.0, 0.0, 0.1, 0.3))
        return queue

    def _start_workers(self) -> None:
        skews = self.random.choice((0.0, 0.5, MOST_SKEW if self.is_repaired else 0.5))
        for number in range(self.random.choice((1, 2, 2, 3))):
            worker = Worker(f"worker {number}", skews * (2 * self.random.random() - 1))
            self.scheduler.workers.append(worker)
            self._start(worker)
        self.scheduler.on_restart = self._start

    def _start(self, worker: Worker) -> None:
        """Give a worker's new process its services, which remember nothing."""
        process, in_flight = Process(worker, self.faults), InFlight()

        def clock() -> datetime:
            return self.scheduler.clock(worker.skew)

        def faulty(name: str, inner: object) -> Any:
            return FaultyPort(name, inner, process)

        def queue(queue: HostedQueue) -> AuditedQueue:
            return AuditedQueue(faulty(queue.name, queue), clock, in_flight, self.scheduler)

        tables: dict[str, Any] = {name: getattr(self.store, name) for name in STORED}
        tables |= {name: faulty(name, tables[name]) for name in STORED if name not in _SHOWN}
        store = Store(**tables)
        watches: Any = store.watches
        outbox: Any = store.outbox
        store = replace(
            store,
            watches=GatheredTable(watches, WATCHES, in_flight, remembers_watch),
            outbox=GatheredTable(outbox, OUTBOX, in_flight),
        )
        queues = (self.operations, self.deliveries)
        self.services[worker] = make_services(
            store=store,
            operations=queue(self.operations),
            deliveries=queue(self.deliveries),
            poison=tuple(faulty("poison", MemoryPoisonQueue(q.poison)) for q in queues),
            arm=FaultyArm(process, self._serve_arm),
            callbacks=FaultyCallbacks(process, self._serve_callback),
            clock=clock,
            policy=self.policy,
            durations=SimulatedDurations(self.policy),
            under_way=in_flight.enter,
        )

    def _plan(self) -> None:
        schedule, scenario = self.scheduler.schedule, self.scenario
        self.awaited = len((*scenario.posts, *scenario.invalid, *scenario.requests))
        for post in scenario.posts:
            schedule(post.at, self._post, post.body(scenario.receivers))
        for body in scenario.invalid:
            schedule(30 * self.random.random(), self._post, body)
        for request in scenario.requests:
            schedule(request.at, self._request, request)
        if self.is_repaired:
            schedule(60 * self.random.random(), self._repair, None)

    def _post(self, body: bytes) -> None:
        self.scheduler.record("a user posts", body)
        self.operations.post(body)
        self.awaited -= 1

    def _request(self, request: UserRequest) -> None:
        """Ask over HTTP; a user who gets no answer asks again."""

        def repeat() -> None:
            self.scheduler.schedule(5.0, self._request, request)

        def on_end(outcome: Any) -> None:
            if isinstance(outcome, LostAnswerError):
                repeat()
            else:
                self.awaited -= 1

        worker = self.scheduler.choose_worker()
        if worker is None:
            repeat()
            return
        step: Any = stop if request.verb == "stop" else redeliver
        coroutine = step(self.services[worker], key_of(request.operation))
        self.scheduler.spawn(Task(request.verb, worker, coroutine, on_end, repeat))

    def _repair(self, _: None) -> None:
        """Fire the timer, every minute until nothing is left to do."""
        if self._is_over():
            return
        self.scheduler.schedule(60.0, self._repair, None)
        worker = self.scheduler.choose_worker()
        if worker is not None:
            coroutine: Any = repair(self.services[worker])
            self.scheduler.spawn(Task("repair", worker, coroutine, lambda _: None))

    def _is_over(self) -> bool:
        """Return whether nothing is left to do, or nothing but looks that find nothing."""
        if (
            self.awaited
            or self.faults.late_effects
            or self.store.watches.rows
            or self.store.outbox.rows
            or self.operations.poison.messages
            or self.deliveries.poison.messages
            or any(worker.tasks for worker in self.scheduler.workers)
        ):
            return False
        messages = (*self.operations.messages.values(), *self.deliveries.messages.values())
        if self.sees_looks_end:
            return not (messages or self.store.lookahead.rows)
        return all(isinstance(decode_message(message.body), Look) for message in messages)

    def _serve_arm(self, url: str) -> HttpResponse | NoAnswer:
        for operation in self.scenario.operations:
            if operation.is_at(url):
                key = key_of(operation)
                if self.watches.showed_end(key) or self.results.showed_end(key):
                    self.scheduler.violate(f"{operation.operation_id} is polled after its end")
                return operation.answer(url, self.scheduler)
        raise AssertionError(url)

    def _serve_callback(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        (receiver,) = (r for r in self.scenario.receivers if r.url == request.url)
        self._check_signature(request)
        for key in map(key_of, self.scenario.operations):
            delivery = new_delivery(key, request.url, START, POLICY)
            is_this = request.headers["webhook-id"] == delivery.delivery_id
            if is_this and self.records.had_end(delivery.key) and not self.is_replayed(key):
                self.scheduler.violate(f"{receiver.url} is called after its delivery was settled")
        return receiver.answer(self.scheduler, request)

    def _check_signature(self, request: CallbackRequest) -> None:
        """Check that the body is signed, and as of now; only a fault can make a worker wait."""
        message_id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        signed = f"{message_id}.{at}.".encode() + request.body
        digest = base64.b64encode(hmac.digest(SECRET.key, signed, "sha256")).decode()
        if request.headers["webhook-signature"] != f"v1,{digest}":
            self.scheduler.violate(f"a wrong signature: {request}")
        age = self.scheduler.now - (float(at) - START.timestamp())
        if not self.faults.injected and abs(age) > MOST_SKEW + 2:
            self.scheduler.violate(f"signed {age:.0f} s ago: {request}")

    def run(self) -> None:
        """Run until nothing is left to do, or an invariant breaks."""
        logger = logging.getLogger("opswatch")
        logger.disabled = True  # its level is in the caches of all loggers
        gc.disable()  # a run is short, and it keeps almost all that it makes
        try:
            self.scheduler.run(UNTIL, MOST_EVENTS)
        finally:
            gc.enable()
            logger.disabled = False

    def is_replayed(self, key: Key) -> bool:
        """Return whether a user asked for a replay of the operation's deliveries."""
        requests = self.scenario.requests
        return any(r.verb == "redeliver" and key_of(r.operation) == key for r in requests)

    def disturbances(self) -> int:
        """Return how often something happened that may cost an extra poll or POST."""
        first_posts = len({post.operation.operation_id for post in self.scenario.posts})
        repeated_posts = len(self.scenario.posts) - first_posts
        requests = len(self.scenario.requests)
        lost = self.operations.lost + self.deliveries.lost
        return self.faults.injected + self.scheduler.tasks_lost + lost + repeated_posts + requests

    def _may_replace_record(self, old: Delivery, new: Delivery) -> bool:
        return self.is_replayed(new.operation) and new.started_at != old.started_at


def _may_replace_watch(old: Watch, new: Watch) -> bool:
    """Permit what may happen to a watch whose end is kept, and to one begun after the end."""
    return new.end == old.end or new.facts.polls == 0


def key_of(operation: Operation) -> Key:
    return key_of_path(operation.path)


@cache
def key_of_path(path: str) -> Key:
    return operation_from_url(ENDPOINT + path).key
