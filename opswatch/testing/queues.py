"""Fakes of the queues, with leases as the real ones have, and of the host that empties them."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from opswatch.core.policy import MAX_DELAY
from opswatch.core.wakeups import WakeUp
from opswatch.ports import Peeked, Poisoned, Sent
from opswatch.rows.messages import encode_wake_ups


@dataclass(slots=True)
class Message:
    """A message of a queue in memory."""

    message_id: str
    body: bytes
    visible_at: datetime
    sent_at: datetime
    receipt: str = "0"
    dequeue_count: int = 0


class MemoryQueue:
    """A queue in memory, with leases as the real one has them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ids = count(1)
        self.messages: dict[str, Message] = {}

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        """Send a separate message, to be visible after `delay`, at most 7 days."""
        self.post(body, delay)

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        """Send a wake-up in a separate message."""
        for body in encode_wake_ups([wake]):
            await self.send(body, delay)

    async def peek(self) -> Peeked | None:
        """Return the message that is next, and leave it in the queue; None if none is visible."""
        now = self._clock()
        for message in self.messages.values():
            if message.visible_at <= now:
                return Peeked(message.body, message.sent_at)
        return None

    async def depth(self) -> int:
        """Return the number of messages, hidden ones included."""
        return len(self.messages)

    def post(self, body: bytes, delay: timedelta = timedelta(0)) -> Sent:
        """Send a message, as a user does."""
        if delay > MAX_DELAY:
            raise ValueError(f"a queue cannot wait for {delay}")
        message_id = str(next(self._ids))
        seconds = max(0, math.ceil(delay.total_seconds()))
        now = self._clock()
        self.messages[message_id] = Message(message_id, body, now + timedelta(seconds=seconds), now)
        return Sent(message_id, "0")

    def receive(self, lease: timedelta = timedelta(minutes=10), most: int = 32) -> list[Message]:
        """Return copies of visible messages, each leased under a new receipt."""
        now = self._clock()
        ready = [message for message in self.messages.values() if message.visible_at <= now]
        return [self.lease(message, lease) for message in ready[:most]]

    def lease(self, message: Message, lease: timedelta) -> Message:
        """Return a copy of a message of this queue, leased under a new receipt."""
        message.dequeue_count += 1
        message.visible_at = self._clock() + lease
        message.receipt = str(message.dequeue_count)
        return replace(message)

    def delete(self, sent: Sent) -> bool:
        """Remove a message, if the receipt is its latest."""
        return self._held(sent) is not None and bool(self.messages.pop(sent.message_id))

    def release(self, sent: Sent, delay: timedelta) -> bool:
        """Make a message visible again after `delay`, if the receipt is its latest."""
        message = self._held(sent)
        if message is None:
            return False
        message.visible_at = self._clock() + delay
        message.receipt += "'"
        return True

    def _held(self, sent: Sent) -> Message | None:
        message = self.messages.get(sent.message_id)
        return message if message is not None and message.receipt == sent.receipt else None


class MemoryPoisonQueue:
    """A poison queue over a queue in memory."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue

    async def take(self) -> list[Poisoned]:
        """Return some of its messages, and hide them for a minute."""
        return [
            Poisoned(message.body, Sent(message.message_id, message.receipt))
            for message in self.queue.receive(timedelta(minutes=1))
        ]

    async def remove(self, poisoned: Poisoned) -> None:
        """Remove a message that has been handled."""
        self.queue.delete(poisoned.sent)

    async def depth(self) -> int:
        """Return the number of messages, hidden ones included."""
        return await self.queue.depth()


Step = Callable[[bytes], Awaitable[None]]


async def pump(queue: MemoryQueue, step: Step) -> int:
    """Run `step` over every visible message, as the host does; return how many there were."""
    received = queue.receive()
    for message in received:
        await step(message.body)
        queue.delete(Sent(message.message_id, message.receipt))
    return len(received)
