"""A queue whose wake-ups of one second go together, in one message."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from azure.core.exceptions import HttpResponseError

from opswatch.adapters.gatherer import Gatherer, InFlight
from opswatch.core.wakeups import WakeUp
from opswatch.ports import Peeked, Queue
from opswatch.rows.messages import MOST_WAKE_UPS, encode_wake_ups

_REFUSED = frozenset({400, 413})  # answers that one wake-up may be the reason of


class GatheredQueue:
    """Gathers wake-ups of one second for 200 ms; the rest is the inner queue's."""

    def __init__(self, inner: Queue, clock: Callable[[], datetime], in_flight: InFlight) -> None:
        self._inner = inner
        self._clock = clock
        self._gatherer = Gatherer(in_flight, self._write, MOST_WAKE_UPS)

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        """Send a separate message, to be visible after `delay`, at most 7 days."""
        await self._inner.send(body, delay)

    async def send_wake_up(self, wake: WakeUp, delay: timedelta) -> None:
        """Send a wake-up, perhaps in one message with others of the same second."""
        visible_at = self._clock() + max(delay, timedelta(0))
        await self._gatherer.submit(int(visible_at.timestamp()), (wake, visible_at))

    async def peek(self) -> Peeked | None:
        """Return the message that is next, and leave it in the queue; None if none is visible."""
        return await self._inner.peek()

    async def depth(self) -> int:
        """Return the approximate number of messages, hidden ones included."""
        return await self._inner.depth()

    async def _write(self, _: int, items: list[tuple[WakeUp, datetime]]) -> list[Exception | None]:
        """Send one message; it is not visible before each of its wake-ups is due.

        If it is refused, one of its wake-ups or copies may be the reason. It must not stop the
        others: each goes alone, without its copy.
        """
        wakes = [wake for wake, _ in items]
        delay = max(visible_at for _, visible_at in items) - self._clock()
        (body,) = encode_wake_ups(wakes)  # a group is no more than a message
        try:
            await self._inner.send(body, delay)
        except HttpResponseError as error:
            if error.status_code not in _REFUSED:
                raise
            return await asyncio.gather(*(self._send_alone(wake, delay) for wake in wakes))
        return [None] * len(wakes)

    async def _send_alone(self, wake: WakeUp, delay: timedelta) -> Exception | None:
        try:
            await self._inner.send_wake_up(replace(wake, copy=None, etag=None), delay)
        except Exception as error:
            return error
        return None
