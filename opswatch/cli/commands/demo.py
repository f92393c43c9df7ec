"""`opswatch demo`: runs the demo in the terminal."""

import asyncio
import signal

import click
from rich.console import Console

from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_INTERRUPTED
from opswatch.cli.terminal import print_error
from opswatch.core.errors import OpswatchError
from opswatch.local.demo.run import run_demo


@click.command()
@click.option("--keep", is_flag=True, help="Keep running afterwards, until Ctrl-C.")
def command(keep: bool) -> int:
    """Run everything on this machine, from post to callback.

    Posts operations of every kind, shows them live, and checks every outcome. The exit code is 0 if
    all are as expected.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return asyncio.run(run_demo(Console(), keep=keep))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OpswatchError as error:
        print_error(str(error))
        return EXIT_FAILURE
