"""`opswatch dev`: declares the options of the local host."""

from pathlib import Path
from typing import Any

import click

from opswatch.cli.local_command import run_local
from opswatch.local.host import dev
from opswatch.local.host.leases import LEASE


@click.command()
@click.option("--port", type=int, default=7071, show_default=True, help="0 takes a free port.")
@click.option(
    "--app",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=True,
    metavar="DIR",
    help="The folder of the function app.",
)
@click.option(
    "--lease",
    type=float,
    default=LEASE.total_seconds(),
    show_default=True,
    metavar="SECONDS",
    help="How long a received message stays hidden; the default is the Functions host's.",
)
def command(**options: Any) -> int:
    """Run the function app without Core Tools.

    Serves HTTP, reads the queues and fires the timers until SIGTERM or Ctrl-C: then it drains.
    """
    return run_local(dev.command, options)
