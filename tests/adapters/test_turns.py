import asyncio
from contextlib import AsyncExitStack

import pytest

from opswatch.adapters.turns import Turns


async def held(turns: Turns, host: str, count: int, stack: AsyncExitStack) -> list[bool]:
    return [await stack.enter_async_context(turns.turn(host)) for _ in range(count)]


async def test_no_more_than_the_most_are_let_through_at_a_time() -> None:
    turns = Turns(most=2, patience=0)
    async with AsyncExitStack() as stack:
        assert await held(turns, "a", 3, stack) == [True, True, False]


async def test_hosts_do_not_share_their_room() -> None:
    turns = Turns(most=1, patience=0)
    async with AsyncExitStack() as stack:
        assert await held(turns, "a", 2, stack) == [True, False]
        assert await held(turns, "b", 1, stack) == [True]


async def test_who_waits_gets_the_room_that_is_given_back() -> None:
    turns = Turns(most=1, patience=60)
    waited = asyncio.Event()

    async def wait() -> bool:
        waited.set()
        async with turns.turn("a") as is_granted:
            return is_granted

    async with turns.turn("a"):
        waiting = asyncio.create_task(wait())
        await waited.wait()
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def test_nobody_waits_behind_an_attempt_that_is_slow() -> None:
    now = [0.0]
    turns = Turns(most=1, patience=60, clock=lambda: now[0])
    async with turns.turn("a"):
        now[0] = 61.0
        async with turns.turn("a") as is_granted:
            assert not is_granted


async def test_an_error_gives_the_room_back_and_nothing_is_remembered_of_an_idle_host() -> None:
    turns = Turns(most=1, patience=0)
    with pytest.raises(ValueError, match="gone wrong"):
        async with turns.turn("a"):
            raise ValueError("gone wrong")
    async with turns.turn("a") as is_granted:
        assert is_granted
    assert turns._lines == {}
