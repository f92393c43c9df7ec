"""Runs the local host in a terminal: signals, the list of functions, and the exit."""

import asyncio
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import FrameType

from opswatch.local.host.app import Function, HttpTrigger, QueueTrigger, TimerTrigger
from opswatch.local.host.host import LocalHost
from opswatch.local.host.http import Keys
from opswatch.local.host.worker import THREADS


async def run_host(app_dir: Path, port: int, lease: timedelta, keys: Keys | None = None) -> None:
    """Run the app of `app_dir` until SIGINT or SIGTERM, then drain; raise the host's errors.

    A second signal ends the process at once.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int, _: FrameType | None) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        loop.call_soon_threadsafe(stopped.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    async with LocalHost(app_dir, port=port, lease=lease, keys=keys) as host:
        await host.started()
        print("Functions:")
        for function in host.functions:
            print(f"  {function.name:24} {describe(function, host)}")
        print(f"Listening on {host.url}", flush=True)
        await host.run_until(stopped)
        print("Stopping: waiting for running functions; interrupt again to exit now", flush=True)


def describe(function: Function, host: LocalHost) -> str:
    """Return a function's trigger as one line."""
    match function.trigger:
        case QueueTrigger(queue, _):
            return f"queue  {queue}"
        case TimerTrigger(text, _, _):
            return f"timer  {text}"
        case HttpTrigger(route, methods):
            path = "/".join(filter(None, (host.url, host.route_prefix, route)))
            return f"http   {','.join(sorted(methods)) or 'any'} {path}"


def exit_despite_threads() -> None:
    """Exit now if an abandoned function still runs in a thread: Python would wait for it."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
    for thread in threads:
        thread.join(timeout=0.5)
    if any(thread.is_alive() for thread in threads):
        sys.stdout.flush()
        os._exit(0)
