"""Runs the local host in a terminal: signals, the list of functions, and the exit."""

import asyncio
import os
import re
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from opswatch.config import Settings
from opswatch.core.errors import ConfigError, OpswatchError
from opswatch.core.mistakes import Part, problems_of
from opswatch.local.host.app import MODULE, Function, HttpTrigger, QueueTrigger, TimerTrigger
from opswatch.local.host.host import LocalHost
from opswatch.local.host.http import Keys
from opswatch.local.host.settings import HostSettings, local_values
from opswatch.local.host.worker import THREADS
from opswatch.local.signals import stop_event

_USES_OPSWATCH = re.compile(r"^(?:from|import) opswatch\b", re.MULTILINE)


class NoAppError(OpswatchError):
    """A folder has no function app."""


async def run_host(app_dir: Path, port: int, lease: timedelta, keys: Keys | None = None) -> None:
    """Run the app of `app_dir` until SIGINT or SIGTERM, then drain; raise the host's errors.

    Raise `NoAppError`, or one `ConfigError` for all mistakes in the settings. A second signal ends
    the process at once.
    """
    check_settings(app_dir, os.environ)
    stopped = stop_event()
    async with LocalHost(app_dir, port=port, lease=lease, keys=keys) as host:
        started, ended = (asyncio.create_task(wait) for wait in (host.started(), stopped.wait()))
        await asyncio.wait({started, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not started.cancel():
            await started
        print("Functions:")
        for function in host.functions:
            print(f"  {function.name:24} {describe(function, host)}")
        print(f"Listening on {host.url}", flush=True)
        await host.run_until(stopped)
        print("Stopping: waiting for running functions; interrupt again to exit now", flush=True)


def check_settings(app_dir: Path, environ: Mapping[str, str]) -> None:
    """Raise one `ConfigError` for every mistake in host.json and in the settings of opswatch.

    Raises `NoAppError` if there is no app in `app_dir`.

    In Azure a mistake stops what needs the setting, and the rest goes on. Here the person who made
    it looks on. Another app has other settings.
    """
    missing = [name for name in ("host.json", f"{MODULE}.py") if not (app_dir / name).is_file()]
    if missing:
        raise NoAppError(
            f"{app_dir} is not the folder of a function app: it has no {' and no '.join(missing)}. "
            "Name the folder with --app"
        )
    problems = []
    try:
        env = {**local_values(app_dir), **environ}
    except ConfigError as error:
        problems, env = error.problems, dict(environ)
    try:
        HostSettings.load(app_dir, env)
    except ConfigError as error:
        problems = [*problems, *error.problems]
    source = (app_dir / f"{MODULE}.py").read_text(encoding="utf-8", errors="replace")
    if _USES_OPSWATCH.search(source):
        problems = [*problems, *problems_of(Settings.read(env).mistakes, *Part)]
    if problems:
        raise ConfigError(problems)


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
