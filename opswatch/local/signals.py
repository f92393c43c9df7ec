"""How programs of this machine end: at SIGINT or SIGTERM, and at once at a second one."""

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


def stop_event() -> asyncio.Event:
    """Return an event of the running loop that the next SIGINT or SIGTERM sets.

    A second signal ends the process at once. `loop.add_signal_handler` would need Unix.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int, _: FrameType | None) -> None:
        if stopped.is_set() or loop.is_closed():
            os._exit(128 + number)
        loop.call_soon_threadsafe(stopped.set)

    if threading.current_thread() is threading.main_thread():  # others cannot receive signals
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
    return stopped


async def run_until_signal(main: Coroutine[None, None, T]) -> T | None:
    """Return what `main` returns; None if SIGINT or SIGTERM came before: it is cancelled then.

    What `main` raises after a signal is ignored: programs that it has started get the terminal's
    Ctrl-C, too, and may be gone before it is.
    """
    stopped = stop_event()
    running, ended = asyncio.ensure_future(main), asyncio.ensure_future(stopped.wait())
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    if stopped.is_set():
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # it was looked at
        return None
    ended.cancel()
    return running.result()
