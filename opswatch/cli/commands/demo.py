"""`opswatch demo`: declares the options of the demo."""

from typing import Any

import click

from opswatch.cli.local_command import run_local
from opswatch.local.demo import command as demo


@click.command()
@click.option("--keep", is_flag=True, help="Keep running afterwards, until Ctrl-C.")
def command(**options: Any) -> int:
    """Run everything on this machine, from post to callback.

    Posts operations of every kind, shows them live, and checks every outcome. The exit code is 0 if
    all are as expected.
    """
    return run_local(demo.command, options)
