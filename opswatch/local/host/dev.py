"""The command `opswatch dev`: the local host in a terminal, with signals and log output."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType

from opswatch.core.errors import ConfigError
from opswatch.local.host.app import Function, HttpTrigger, QueueTrigger, TimerTrigger
from opswatch.local.host.host import LocalHost
from opswatch.local.host.leases import LEASE
from opswatch.local.host.worker import THREADS

_DEFAULT_PORT = 7071  # of `func start`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch dev` to `parser`."""
    parser.add_argument(
        "--port", type=int, default=_DEFAULT_PORT, help="port to listen on; 0: a free one"
    )
    parser.add_argument(
        "--app", type=Path, default=Path(), metavar="DIR", help="folder of the function app"
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=LEASE.total_seconds(),
        metavar="SECONDS",
        help="how long a received message stays hidden (the Functions host: %(default)g)",
    )


def command(options: argparse.Namespace) -> int:
    """Run the host until a signal; return the exit code."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("azure").setLevel(logging.WARNING)  # at INFO it logs every request
    app_dir = options.app.resolve()
    try:
        with contextlib.chdir(app_dir):
            asyncio.run(run(app_dir, options.port, timedelta(seconds=options.lease)))
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    exit_despite_threads()
    return 0


async def run(app_dir: Path, port: int, lease: timedelta = LEASE) -> None:
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
    async with LocalHost(app_dir, port=port, lease=lease) as host:
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command without the `opswatch` program."""
    parser = argparse.ArgumentParser(prog="opswatch dev", description=__doc__)
    add_arguments(parser)
    return command(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
