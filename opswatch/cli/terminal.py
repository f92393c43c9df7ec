"""What the commands share: settings, running a coroutine, errors as sentences, and a console."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
from rich.console import Console
from rich.text import Text

from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE
from opswatch.core.errors import ConfigError
from opswatch.core.times import parse_instant
from opswatch.health import UNREACHABLE, brief
from opswatch.local.host.settings import local_values

P = ParamSpec("P")


class Mark(StrEnum):
    """The first character of a line about a check."""

    GOOD = "✓"
    BAD = "✗"
    INFO = "·"


Reporter = Callable[[Mark, str, str], None]  # the mark, a topic of one word, the text
_STYLES = {Mark.GOOD: "green", Mark.BAD: "bold red", Mark.INFO: "dim"}


def environment() -> dict[str, str]:
    """Return the settings: the environment, over `local.settings.json` in this directory.

    Raises `ConfigError` if that file cannot be read.
    """
    return {**local_values(Path.cwd()), **os.environ}


# --- running


def run_async(main: Callable[P, Coroutine[Any, Any, int]]) -> Callable[P, int]:
    """Make a command of a coroutine function that returns an exit code.

    Expected errors become one sentence on stderr and an exit code.
    """

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        logging.getLogger("azure").addHandler(logging.NullHandler())  # it logs what it raises
        try:
            return asyncio.run(main(*args, **kwargs))
        except ConfigError as error:
            print_error(str(error))
            return EXIT_USAGE
        except BrokenPipeError:  # the reader of our output has gone: click ends quietly
            raise
        except UNREACHABLE as error:
            code = getattr(error, "error_code", None)  # not in azure-core's annotations
            if code in ("QueueNotFound", "TableNotFound"):
                kind = "queue" if code == "QueueNotFound" else "table"
                print_error(
                    f"A {kind} of the app does not exist yet: the app creates it when it starts. "
                    "`opswatch doctor` lists what is missing."
                )
            else:
                print_error(f"The storage account: {brief(error)}")
            return EXIT_FAILURE
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED

    return run


# --- printing


def console() -> Console:
    """Return a console that prints texts unchanged, in colour if it is a terminal."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_error(text: str) -> None:
    """Print on stderr what is wrong."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    """Print a value as JSON, non-ASCII characters as they are if all of them are printable."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    is_printable = all(c.isprintable() or c == "\n" for c in text)
    click.echo(text if is_printable else json.dumps(value, indent=2))


def reporter(out: Console) -> Reporter:
    """Return a function that prints one line about a check."""

    def report(mark: Mark, topic: str, text: str) -> None:
        out.print(Text.assemble((mark, _STYLES[mark]), f" {topic:<10} ", text))

    return report


def elapsed(began: float) -> str:
    """Return the time since `time.perf_counter()` was `began`."""
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


# --- arguments


def read_timestamp(text: str) -> datetime:
    """Read an RFC 3339 timestamp, or a date, which means its beginning in UTC.

    Raises `click.BadParameter`.
    """
    at = parse_instant(text) or parse_instant(f"{text}T00:00:00Z")
    if at is None:
        raise click.BadParameter(f"{text!r} is not a timestamp like 2026-11-23T03:00:00Z")
    return at
