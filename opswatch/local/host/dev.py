"""`opswatch dev`: the local host in a terminal."""

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from opswatch.core.errors import ConfigError
from opswatch.local.host.leases import LEASE
from opswatch.local.host.run import exit_despite_threads, run_host

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
            asyncio.run(run_host(app_dir, options.port, timedelta(seconds=options.lease)))
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    exit_despite_threads()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command without the `opswatch` program."""
    parser = argparse.ArgumentParser(prog="opswatch dev", description=__doc__)
    add_arguments(parser)
    return command(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
