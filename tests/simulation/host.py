"""The Functions host, simulated: it hands messages to workers under leases, and gives some up."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from opswatch.ports import Sent, Services
from opswatch.steps.wakeups import read_wake_up
from opswatch.testing import MemoryQueue, Message
from tests.simulation.clockwork import Clockwork, LostAnswerError, Task, Worker
from tests.simulation.faults import Faults

MAX_DEQUEUE_COUNT = 5
RETRY_DELAY = timedelta(seconds=10)  # host.json's visibilityTimeout
_BRIEF = timedelta(milliseconds=50)
Step = Callable[[Services, bytes], Awaitable[None]]


class HostedQueue(MemoryQueue):
    """A queue whose messages come to a worker by themselves."""

    def __init__(
        self, name: str, clockwork: Clockwork, faults: Faults, worlds: dict[Worker, Services]
    ) -> None:
        super().__init__(clockwork.clock)
        self.name, self.clockwork, self.faults, self.worlds = name, clockwork, faults, worlds
        self.lease_time = timedelta(seconds=clockwork.random.choice((30, 60, 600)))
        self.vanishing = 0.0  # how often a wake-up is lost
        self.giving_up = 0.0  # how often a message is poisoned unseen, as after five crashes
        self.most_deliveries: int | None = None  # after which a message is poisoned
        self.poison = MemoryQueue(clockwork.clock)
        self.host_faults = 0
        self.step: Step

    def post(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        sent = super().post(body, delay)
        self.expect(self.messages[sent.message_id])
        return sent

    def expect(self, message: Message) -> None:
        """Put the message's coming on the agenda."""
        random, clockwork = self.clockwork.random, self.clockwork
        wait = (message.visible_at - clockwork.clock()).total_seconds() + 1e-6
        late = 0.2 * random.random() if random.random() < 0.95 else 15 * random.random()
        clockwork.after(wait + late, self._come, message)

    def _come(self, message: Message) -> None:
        if message.message_id not in self.messages or message.visible_at > self.clockwork.clock():
            return
        worker = self.clockwork.any_worker()
        if worker is None:
            self.clockwork.after(1.0, self._come, message)
        elif self.clockwork.random.random() < self.vanishing and read_wake_up(message.body):
            self.clockwork.note(self.name, message.message_id, "VANISHES", message.body)
            del self.messages[message.message_id]
        else:
            self._hand(message, worker)

    def _hand(self, message: Message, worker: Worker) -> None:
        is_brief = self.faults.strikes()
        leased = self.lease(message, _BRIEF if is_brief else self.lease_time)
        self.expect(message)
        sent = Sent(leased.message_id, leased.receipt)
        is_spent = self.most_deliveries and leased.dequeue_count > self.most_deliveries
        if is_spent or self.clockwork.random.random() < self.giving_up:
            self._give_up(leased, sent)
            return
        name = f"{self.name[0]}{leased.message_id}.{leased.dequeue_count}"
        self.clockwork.note(name, "is", leased.body, "for a moment" if is_brief else "")
        coroutine: Any = self.step(self.worlds[worker], leased.body)

        def ended(outcome: Any) -> None:
            self._ended(leased, sent, outcome)

        self.clockwork.spawn(Task(name, worker, coroutine, ended, lambda: None))

    def _ended(self, leased: Message, sent: Sent, outcome: Any) -> None:
        if not isinstance(outcome, LostAnswerError):
            if self.faults.strikes():
                self.clockwork.note("the host does not remove", leased.message_id)
            else:
                self.delete(sent)
        elif self.most_deliveries and leased.dequeue_count >= self.most_deliveries:
            self._give_up(leased, sent)
        elif self.release(sent, RETRY_DELAY):
            self.expect(self.messages[leased.message_id])

    def _give_up(self, leased: Message, sent: Sent) -> None:
        self.clockwork.note(self.name, leased.message_id, "is POISONED", leased.body)
        self.poison.post(leased.body)
        self.delete(sent)
