"""One body of code for both faces: calls of the SDK's clients, sync or async, in coroutines.

A coroutine whose calls have all returned when it awaits them never waits, so the sync face runs it
to its end without an event loop.
"""

import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")


async def settle(value: Awaitable[T] | T) -> T:
    """Return what a call of a client returns, sync or async."""
    return await value if inspect.isawaitable(value) else value


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns whose calls do not wait; raise `RuntimeError` if one does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError("an async client was given to a sync Watcher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The clocks of a face, and how it sleeps."""

    now: Callable[[], datetime]  # aware, UTC
    monotonic: Callable[[], float]  # seconds
    sleep: Callable[[float], Awaitable[None] | None]
    # Around a read: raises `TimeoutError` after as many seconds, if the face can do that.
    within: Callable[[Awaitable[Any], float], Awaitable[Any]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _within(read: Awaitable[T], seconds: float) -> T:
    return await asyncio.wait_for(read, None if math.isinf(seconds) else seconds)


async def _unbounded(read: Awaitable[T], _: float) -> T:
    return await read


ASYNC_TIMING = Timing(now=_utc_now, monotonic=time.monotonic, sleep=asyncio.sleep, within=_within)
SYNC_TIMING = Timing(now=_utc_now, monotonic=time.monotonic, sleep=time.sleep, within=_unbounded)
