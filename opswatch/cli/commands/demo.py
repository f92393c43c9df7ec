"""`opswatch demo`: runs the demo in the terminal."""

import asyncio

import click
from rich.console import Console

from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_INTERRUPTED
from opswatch.cli.terminal import print_error
from opswatch.core.errors import OpswatchError
from opswatch.local.demo.run import run_demo
from opswatch.local.signals import run_until_signal

_EXAMPLES = """\b
Examples:
  opswatch demo
  opswatch demo --keep
"""


class _Output(Console):
    """A console whose reader may go: that ends a command as it ends all others."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls it while it handles the error, and would exit itself


@click.command(epilog=_EXAMPLES)
@click.option("--keep", is_flag=True, help="Keep running afterwards, until Ctrl-C.")
def command(keep: bool) -> int:
    """Run everything on this machine, from post to callback.

    Posts operations of every kind, shows them live, and checks every outcome. The exit code is 0 if
    all are as expected.
    """
    try:
        code = asyncio.run(run_until_signal(run_demo(_Output(), keep=keep)))
    except OpswatchError as error:
        print_error(str(error))
        return EXIT_FAILURE
    return EXIT_INTERRUPTED if code is None else code
