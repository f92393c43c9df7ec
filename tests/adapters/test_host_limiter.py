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
class Crowd:
    """Those who ask for turns at one host, each in a task of its own."""

    turns: HostLimiter
    got: list[Slot] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def come(self, count: int) -> None:
        """Let some more ask, until each has an answer or waits for it."""
        self._tasks += [asyncio.create_task(self._ask()) for _ in range(count)]
        await self._settle()

    async def leave(self, count: int) -> None:
        """Let those who have had their turns for longest give them back."""
        for task in [task for task in self._tasks if not task.done()][:count]:
            task.cancel()
        await self._settle()

    async def _ask(self) -> None:
        async with self.turns.slot(HOST) as turn:
            self.got.append(turn)
            if isinstance(turn, Acquired):
                await asyncio.Event().wait()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def held(turns: HostLimiter, host: str, count: int, stack: AsyncExitStack) -> list[Slot]:
    return [await stack.enter_async_context(turns.slot(host)) for _ in range(count)]


def standing(seconds: float) -> Busy:
    return Busy(timedelta(seconds=seconds))


async def test_no_more_than_the_most_are_let_through_at_a_time() -> None:
    turns = HostLimiter(most=2, patience=0, clock=lambda: 0.0)
    async with AsyncExitStack() as stack:
        assert await held(turns, HOST, 3, stack) == [Acquired(), Acquired(), FULL]


async def test_hosts_do_not_share_their_room() -> None:
    turns = HostLimiter(most=1, patience=0, clock=lambda: 0.0)
    async with AsyncExitStack() as stack:
        assert await held(turns, "a", 2, stack) == [Acquired(), FULL]
        assert await held(turns, "b", 1, stack) == [Acquired()]


async def test_who_waits_gets_the_room_that_is_given_back() -> None:
    crowd = Crowd(HostLimiter(most=1, patience=60))
    await crowd.come(2)
    assert crowd.got == [Acquired()]
    await crowd.leave(1)
    assert crowd.got == [Acquired(), Acquired()]


async def test_until_an_attempt_has_ended_few_wait_and_others_are_sent_away_at_once() -> None:
    crowd = Crowd(HostLimiter(most=2, patience=60, clock=lambda: 0.0))
    await crowd.come(2 + 6 + 3)
    assert crowd.got == [Acquired(), Acquired(), FULL, FULL, FULL]


@pytest.mark.parametrize(("took", "waiting"), [(0.5, 4), (0.1, 20), (2.0, 1)])
async def test_then_as_many_wait_as_get_their_turns_in_time(took: float, waiting: int) -> None:
    now = [0.0]
    crowd = Crowd(HostLimiter(most=2, patience=1, clock=lambda: now[0]))
    await crowd.come(3)
    now[0] = took
    await crowd.leave(1)
    crowd.got.clear()
    await crowd.come(waiting + 5)
    assert crowd.got == [FULL] * 5


async def test_nobody_waits_where_no_attempt_has_begun_or_ended_for_long() -> None:
    now = [0.0]
    crowd = Crowd(HostLimiter(most=2, patience=60, clock=lambda: now[0]))
    await crowd.come(1)
    now[0] = 50.0
    await crowd.come(1)
    now[0] = 111.0
    await crowd.come(1)
    assert crowd.got == [Acquired(), Acquired(), standing(61)]


async def test_an_attempt_that_is_slow_keeps_nobody_from_waiting_for_quick_ones() -> None:
    now = [0.0]
    crowd = Crowd(HostLimiter(most=2, patience=1, clock=lambda: now[0]))
    async with crowd.turns.slot(HOST):
        now[0] = 10.0
        await crowd.come(2)
        now[0] = 10.9
        await crowd.leave(1)
        now[0] = 11.8
        await crowd.come(2)
        await crowd.leave(2)
    assert crowd.got == [Acquired()] * 3


async def test_an_error_gives_the_room_back_and_nothing_is_remembered_of_an_idle_host() -> None:
    turns = HostLimiter(most=1, patience=0)
    with pytest.raises(ValueError, match="gone wrong"):
        async with turns.slot(HOST):
            raise ValueError("gone wrong")
    async with turns.slot(HOST) as turn:
        assert turn == Acquired()
    assert turns._hosts == {}
