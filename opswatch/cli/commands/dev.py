"""`opswatch dev`: runs the local host in the terminal."""

import asyncio
import contextlib
import logging
import math
import os
import sys
from datetime import timedelta
from pathlib import Path

import click

from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE, OUTPUT_ERRORS
from opswatch.cli.terminal import print_error
from opswatch.core.errors import ConfigError
from opswatch.local.host.app import MODULE, AppImportError, own_app
from opswatch.local.host.leases import LEASE
from opswatch.local.host.run import NoAppError, exit_despite_threads, run_host
from opswatch.local.host.settings import local_values
from opswatch.local.ports import PortError

_DEFAULT_PORT = 7071  # of `func start`
_LONGEST_LEASE = 7 * 24 * 3600  # seconds


def _seconds(text: str) -> float:
    """Read how long a message may stay hidden, up to what a queue allows."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= _LONGEST_LEASE:
        raise click.BadParameter(f"{text!r} is not a number of seconds from 1 to {_LONGEST_LEASE}")
    return seconds


_EXAMPLES = """\b
Examples:
  opswatch dev
  opswatch dev --port 0 --key read=viewer,write=operator
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULT_PORT,
    show_default=True,
    help="0 takes a free port.",
)
@click.option(
    "--app",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder of a function app. [default: this folder, or else opswatch's own app]",
)
@click.option(
    "--lease",
    type=_seconds,
    default=LEASE.total_seconds(),
    show_default=True,
    metavar="SECONDS",
    help="How long a received message stays hidden; the default is the Functions host's.",
)
@click.option(
    "--key",
    "keys",
    default="",
    metavar="FUNCTION=KEY,…",
    help="Ask for the key of a function: read=KEY,write=KEY. A function may have several.",
)
def command(port: int, app: Path | None, lease: float, keys: str) -> int:
    """Run the function app without Core Tools.

    Serves HTTP, reads the queues and fires the timers until SIGTERM or Ctrl-C: then it drains.
    With wrong settings it lists all mistakes and does not start: exit code 2.
    """
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.raiseExceptions = False  # if the output is full, lines are lost and the app goes on
    logging.getLogger("azure").setLevel(logging.WARNING)  # at INFO it logs every request
    here = Path.cwd()
    folder = (app or here).resolve()
    try:
        if app is None and not (here / f"{MODULE}.py").exists():
            folder = own_app()
            os.environ.update({**local_values(here), **os.environ})
        with contextlib.chdir(folder):
            asyncio.run(run_host(folder, port, timedelta(seconds=lease), _read_keys(keys)))
    except (ConfigError, NoAppError, PortError) as error:
        print_error(str(error))
        return EXIT_USAGE
    except AppImportError as error:
        print_error(str(error))
        return EXIT_FAILURE
    except OSError as error:
        if error.errno in OUTPUT_ERRORS or isinstance(error, BrokenPipeError):
            raise
        print_error(str(error))
        return EXIT_FAILURE
    exit_despite_threads()
    return EXIT_SUCCESS


def _read_keys(text: str) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {}
    for pair in filter(None, text.split(",")):
        function, equals, key = pair.strip().partition("=")
        if not (function and equals and key):
            raise click.UsageError("--key: write FUNCTION=KEY, such as read=KEY,write=KEY")
        keys.setdefault(function, set()).add(key)
    return keys
