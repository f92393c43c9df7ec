"""A queue: when each message is visible, and under which receipt it is held. No HTTP."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count
from uuid import uuid4

from tests.support.clock import Clock
from tests.support.storage.errors import RefusedError

NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_Entry = tuple[datetime, int, str]  # when a message is visible, by its change, and its id
_SPARE = 1000  # entries of the agenda that may be out of date before it is rebuilt


@dataclass(slots=True, kw_only=True)
class Message:
    """A message; each receive and each update changes its receipt."""

    message_id: str
    text: str
    inserted_at: datetime
    expires_at: datetime
    visible_at: datetime
    number: int = 0  # of its latest change, counted over the queue
    dequeue_count: int = 0

    @property
    def receipt(self) -> str:
        """A receipt that has to be escaped in a URL, as many real ones."""
        return b64encode(b"\xfb\xef\xbe\xff" + self.number.to_bytes(8)).decode()


class MessageQueue:
    """Messages by their id, and an agenda of when each becomes visible.

    The agenda is a heap. An entry stays in it when its message changes, and counts only if it has
    the message's number.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._messages: dict[str, Message] = {}
        self._agenda: list[_Entry] = []

    def __len__(self) -> int:
        """Return the number of messages, hidden and expired ones included."""
        return len(self._messages)

    def send(self, text: str, delay: timedelta, time_to_live: timedelta | None) -> Message:
        """Add a message that is visible after `delay`; without a time to live it never expires."""
        now = self._clock()
        message = Message(
            message_id=str(uuid4()),
            text=text,
            inserted_at=now,
            expires_at=NEVER if time_to_live is None else now + time_to_live,
            visible_at=now,
        )
        self._messages[message.message_id] = message
        self._hide(message, now + delay)
        return message

    def receive(self, most: int, lease: timedelta) -> list[Message]:
        """Hide up to `most` visible messages for `lease`, and return them, oldest first."""
        now = self._clock()
        taken = self.peek(most)
        for message in taken:
            message.dequeue_count += 1
            self._hide(message, now + lease)
        return taken

    def peek(self, most: int) -> list[Message]:
        """Return up to `most` visible messages, oldest first, unchanged."""
        now = self._clock()
        seen: list[tuple[_Entry, Message]] = []
        while len(seen) < most and (head := self._head()) and head.visible_at <= now:
            entry = heappop(self._agenda)
            if head.expires_at <= now:
                del self._messages[head.message_id]
            else:
                seen.append((entry, head))
        for entry, _ in seen:
            heappush(self._agenda, entry)
        return [message for _, message in seen]

    def update(self, message_id: str, receipt: str, delay: timedelta, text: str | None) -> Message:
        """Hide a message for `delay` from now, and change its text if there is one."""
        message = self._held(message_id, receipt)
        message.text = message.text if text is None else text
        self._hide(message, self._clock() + delay)
        return message

    def delete(self, message_id: str, receipt: str) -> None:
        del self._messages[self._held(message_id, receipt).message_id]

    def clear(self) -> None:
        self._messages.clear()

    def next_visible_at(self) -> datetime | None:
        """Return when the first message is, or was, visible; None if there is none."""
        head = self._head()
        return head.visible_at if head else None

    def _held(self, message_id: str, receipt: str) -> Message:
        message = self._messages.get(message_id)
        if message is None:
            raise RefusedError("MessageNotFound")
        if message.receipt != receipt:
            raise RefusedError("PopReceiptMismatch")
        return message

    def _hide(self, message: Message, until: datetime) -> None:
        message.visible_at, message.number = until, next(self._numbers)
        if len(self._agenda) > 2 * len(self._messages) + _SPARE:
            self._agenda = [entry for entry in self._agenda if self._is_current(entry)]
            heapify(self._agenda)
        heappush(self._agenda, (until, message.number, message.message_id))

    def _head(self) -> Message | None:
        """Return the message that is visible first; remove outdated entries before it."""
        while self._agenda:
            if self._is_current(self._agenda[0]):
                return self._messages[self._agenda[0][2]]
            heappop(self._agenda)
        return None

    def _is_current(self, entry: _Entry) -> bool:
        message = self._messages.get(entry[2])
        return message is not None and message.number == entry[1]
