"""How programs of this machine end: at SIGINT or SIGTERM, and at once at a second one."""

import asyncio
import os
import signal
import threading
from types import FrameType


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
