"""`opswatch demo`: the demo in a terminal."""

import argparse
import asyncio
import signal
import sys

from rich.console import Console

from opswatch.core.errors import OpswatchError
from opswatch.local.demo.run import run_demo

_MIN_WIDTH = 120  # columns of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch demo` to `parser`."""
    parser.add_argument(
        "--keep", action="store_true", help="leave the app running afterwards, until Ctrl-C"
    )


def command(options: argparse.Namespace) -> int:
    """Run the demo; return 0 if every case had the expected outcome."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console()
    if console.width < _MIN_WIDTH:  # a narrow terminal, or output that is not a terminal
        console = Console(width=_MIN_WIDTH)
    try:
        return asyncio.run(run_demo(console, keep=options.keep))
    except KeyboardInterrupt:
        return 130
    except OpswatchError as error:
        print(error, file=sys.stderr)
        return 1
