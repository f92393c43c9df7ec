"""The Functions host, simulated: it hands messages to workers under leases, and poisons some."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from opswatch.adapters.gathered_queue import GatheredQueue
from opswatch.adapters.gatherer import InFlight
from opswatch.core.lookahead import Look
from opswatch.core.wakeups import OVERDUE_GRACE, WakeUp
from opswatch.ports import Queue, Sent, Services
from opswatch.rows.messages import decode_message
from opswatch.testing import MemoryQueue, Message
from tests.simulation.faults import Faults
from tests.simulation.scheduler import LostAnswerError, Scheduler, Task, Worker
from tests.support.clock import Clock

RETRY_DELAY = timedelta(seconds=10)  # host.json's visibilityTimeout
_BRIEF_LEASE = timedelta(milliseconds=50)
Step = Callable[[Services, bytes], Awaitable[None]]


class AuditedQueue(GatheredQueue):
    """The queue of one process, which must not try a wake-up again without end."""

    def __init__(
        self, inner: Queue, clock: Clock, in_flight: InFlight, scheduler: Scheduler
    ) -> None:
        super().__init__(inner, clock, in_flight)
        self._now, self._scheduler = clock, scheduler

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        """Send a wake-up; one with a delay is for later, or is tried again."""
        overdue = self._now() - wake.due_at if wake.due_at else timedelta(0)
        if delay > timedelta(0) and overdue >= OVERDUE_GRACE:
            self._scheduler.violate(f"tried again though overdue by {overdue}: {wake}")
        await super().send_wake_up(wake, delay)


class HostedQueue(MemoryQueue):
    """A queue whose messages the host hands to workers."""

    def __init__(
        self,
        name: str,
        step: Step,
        faults: Faults,
        services: dict[Worker, Services],
        is_over: Callable[[], bool],
    ) -> None:
        scheduler: Scheduler = faults.scheduler
        super().__init__(scheduler.clock)
        self.name, self.step, self.faults, self.services = name, step, faults, services
        self.is_over = is_over
        self.scheduler, self.random = scheduler, scheduler.random
        self.lease_time = timedelta(seconds=self.random.choice((30, 60, 600)))
        self.loss_rate = 0.0  # of wake-ups
        self.poison_rate = 0.0  # of messages that no step sees, as after five crashes
        self.most_deliveries: int | None = None  # after which a message is poisoned
        self.poison = MemoryQueue(scheduler.clock)
        self.lost = 0  # messages
        self.looks_sent: list[float] = []  # when

    def post(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        if isinstance(decode_message(body), Look):
            self.looks_sent.append(self.scheduler.now)
        sent = super().post(body, delay)
        self._schedule(self.messages[sent.message_id])
        return sent

    def _schedule(self, message: Message) -> None:
        random = self.random
        wait = (message.visible_at - self.scheduler.clock()).total_seconds() + 1e-6
        late = 0.2 * random.random() if random.random() < 0.95 else 15 * random.random()
        self.scheduler.schedule(wait + late, self._receive, message)

    def _receive(self, message: Message) -> None:
        if message.message_id not in self.messages or message.visible_at > self.scheduler.clock():
            return
        if self.is_over():
            return
        worker = self.scheduler.choose_worker()
        if worker is None:
            self.scheduler.schedule(1.0, self._receive, message)
        elif self.random.random() < self.loss_rate and decode_message(message.body) is not None:
            self.scheduler.record(self.name, message.message_id, "IS LOST", message.body)
            del self.messages[message.message_id]
            self.lost += 1
        else:
            self._hand_over(message, worker)

    def _hand_over(self, message: Message, worker: Worker) -> None:
        is_brief = self.faults.strikes()
        leased = self.lease(message, _BRIEF_LEASE if is_brief else self.lease_time)
        self._schedule(message)
        sent = Sent(leased.message_id, leased.receipt)
        is_spent = self.most_deliveries and leased.dequeue_count > self.most_deliveries
        if is_spent or self.random.random() < self.poison_rate:
            self._move_to_poison(leased, sent)
            return
        name = f"{self.name[0]}{leased.message_id}.{leased.dequeue_count}"
        self.scheduler.record(name, "is", leased.body, "under a brief lease" if is_brief else "")
        coroutine: Any = self.step(self.services[worker], leased.body)

        def on_end(outcome: Any) -> None:
            if not isinstance(outcome, LostAnswerError):
                if self.faults.strikes():
                    self.scheduler.record("the host does not remove", leased.message_id)
                else:
                    self.delete(sent)
            elif self.most_deliveries and leased.dequeue_count >= self.most_deliveries:
                self._move_to_poison(leased, sent)
            elif self.release(sent, RETRY_DELAY):
                self._schedule(self.messages[leased.message_id])

        self.scheduler.spawn(Task(name, worker, coroutine, on_end))

    def _move_to_poison(self, leased: Message, sent: Sent) -> None:
        self.scheduler.record(self.name, leased.message_id, "is POISONED", leased.body)
        self.poison.post(leased.body)
        self.lost += 1
        self.delete(sent)
