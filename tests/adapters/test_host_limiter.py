"""How many attempts at a host may run at a time, and which others wait for a slot."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from opswatch.adapters.host_limiter import HostLimiter
from opswatch.core.hosts import Acquired, Busy, Slot

HOST = "a"
FULL = Busy(timedelta(0))


@dataclass
class Attempts:
    """Attempts at one host, each in a separate task, and the slots that they got."""

    limiter: HostLimiter
    slots: list[Slot] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, count: int) -> None:
        """Start attempts, until each has an answer or waits for it."""
        self._tasks += [asyncio.create_task(self._attempt()) for _ in range(count)]
        await self._settle()

    async def end(self, count: int) -> None:
        """End the oldest attempts under way; each releases its slot."""
        for task in [task for task in self._tasks if not task.done()][:count]:
            task.cancel()
        await self._settle()

    async def _attempt(self) -> None:
        async with self.limiter.slot(HOST) as slot:
            self.slots.append(slot)
            if isinstance(slot, Acquired):
                await asyncio.Event().wait()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def acquire(limiter: HostLimiter, host: str, count: int, stack: AsyncExitStack) -> list[Slot]:
    return [await stack.enter_async_context(limiter.slot(host)) for _ in range(count)]


async def test_slots_of_a_host_are_limited() -> None:
    limiter = HostLimiter(most=2, patience=0, clock=lambda: 0.0)
    async with AsyncExitStack() as stack:
        assert await acquire(limiter, HOST, 3, stack) == [Acquired(), Acquired(), FULL]


async def test_hosts_do_not_share_slots() -> None:
    limiter = HostLimiter(most=1, patience=0, clock=lambda: 0.0)
    async with AsyncExitStack() as stack:
        assert await acquire(limiter, "a", 2, stack) == [Acquired(), FULL]
        assert await acquire(limiter, "b", 1, stack) == [Acquired()]


async def test_waiting_attempt_gets_a_released_slot() -> None:
    attempts = Attempts(HostLimiter(most=1, patience=60))
    await attempts.start(2)
    assert attempts.slots == [Acquired()]
    await attempts.end(1)
    assert attempts.slots == [Acquired(), Acquired()]


async def test_few_wait_until_an_attempt_has_ended() -> None:
    attempts = Attempts(HostLimiter(most=2, patience=60, clock=lambda: 0.0))
    await attempts.start(2 + 6 + 3)
    assert attempts.slots == [Acquired(), Acquired(), FULL, FULL, FULL]


@pytest.mark.parametrize(("took", "waiting"), [(0.5, 4), (0.1, 20), (2.0, 1)])
async def test_as_many_wait_as_get_a_slot_in_time(took: float, waiting: int) -> None:
    now = [0.0]
    attempts = Attempts(HostLimiter(most=2, patience=1, clock=lambda: now[0]))
    await attempts.start(3)
    now[0] = took
    await attempts.end(1)
    attempts.slots.clear()
    await attempts.start(waiting + 5)
    assert attempts.slots == [FULL] * 5


async def test_no_attempt_waits_at_a_stuck_host() -> None:
    """No attempt has begun or ended there for longer than the patience."""
    now = [0.0]
    attempts = Attempts(HostLimiter(most=2, patience=60, clock=lambda: now[0]))
    await attempts.start(1)
    now[0] = 50.0
    await attempts.start(1)
    now[0] = 111.0
    await attempts.start(1)
    assert attempts.slots == [Acquired(), Acquired(), Busy(timedelta(seconds=61))]


async def test_slow_attempt_does_not_end_waiting_for_quick_ones() -> None:
    now = [0.0]
    attempts = Attempts(HostLimiter(most=2, patience=1, clock=lambda: now[0]))
    async with attempts.limiter.slot(HOST):
        now[0] = 10.0
        await attempts.start(2)
        now[0] = 10.9
        await attempts.end(1)
        now[0] = 11.8
        await attempts.start(2)
        await attempts.end(2)
    assert attempts.slots == [Acquired()] * 3


async def test_error_releases_slot_and_idle_host_is_forgotten() -> None:
    limiter = HostLimiter(most=1, patience=0)
    with pytest.raises(ValueError, match="gone wrong"):
        async with limiter.slot(HOST):
            raise ValueError("gone wrong")
    async with limiter.slot(HOST) as slot:
        assert slot == Acquired()
    assert limiter._hosts == {}
