"""Limits the concurrent attempts at each callback host, so that a hanging host delays few."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from opswatch.core.hosts import Acquired, Busy, Slot

_FIRST_WAITERS = 3  # for each slot, until an attempt has ended
_SHORTEST = 0.001  # seconds of an attempt


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    most_waiting: float  # as many as get a slot in time, judged by the last attempt
    changed_at: float  # when a slot was last acquired or released
    users: int = 0  # attempts that have a slot or wait for one


class HostLimiter:
    """Allows at most `most` concurrent attempts at each host.

    An attempt waits for a slot for up to `patience` seconds. It does not wait if the last attempt's
    duration shows that the queue is too long, or if no slot has changed for that long: the host may
    hang, and an attempt that waits for it keeps a function from other work.
    """

    def __init__(
        self, most: int = 32, patience: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._patience = patience
        self._clock = clock
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[Slot]:
        """Enter with a slot at the host, or soon without one."""
        host = self._hosts.get(name)
        if host is None:
            slots = asyncio.Semaphore(self._most)
            host = _Host(slots, _FIRST_WAITERS * self._most, self._clock())
            self._hosts[name] = host
        host.users += 1
        try:
            if not await self._acquire(host):
                yield Busy(busy_for=timedelta(seconds=self._clock() - host.changed_at))
                return
            began = host.changed_at = self._clock()
            try:
                yield Acquired()
            finally:
                host.changed_at = self._clock()
                took = max(host.changed_at - began, _SHORTEST)
                host.most_waiting = self._most * self._patience / took
                host.slots.release()
        finally:
            host.users -= 1
            if not host.users:
                del self._hosts[name]

    async def _acquire(self, host: _Host) -> bool:
        """Acquire a slot, and wait for it if it is likely to come in time."""
        if host.slots.locked():
            is_queue_short = host.users <= self._most + host.most_waiting
            if not is_queue_short or self._clock() - host.changed_at > self._patience:
                return False
        try:
            async with asyncio.timeout(self._patience):
                return await host.slots.acquire()
        except TimeoutError:
            return False
