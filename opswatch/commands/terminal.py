"""What the commands share: settings, arguments, a console, and what an error means as exit code."""

import argparse
import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError
from rich.console import Console
from rich.text import Text

from opswatch.core.errors import ConfigError, OpswatchError
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line
from opswatch.core.times import parse_instant
from opswatch.local.host.settings import local_values

OK, NOT_AS_WISHED, MISUSED, INTERRUPTED = 0, 1, 2, 130


class Mark(StrEnum):
    """What a line that explains a check begins with."""

    GOOD = "✓"
    BAD = "✗"
    ASIDE = "·"


Say = Callable[[Mark, str, str], None]  # then the topic, and what there is to say of it
_STYLES = {Mark.GOOD: "green", Mark.BAD: "bold red", Mark.ASIDE: "dim"}


class UsageError(OpswatchError):
    """What was typed cannot be meant."""


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end and return its exit code; an error becomes one plain sentence."""
    logging.getLogger("azure").addHandler(logging.NullHandler())  # it says again what it raises
    try:
        return asyncio.run(main)
    except (ConfigError, UsageError) as error:
        complain(str(error))
        return MISUSED
    except (AzureError, aiohttp.ClientError, OSError) as error:
        complain(f"The storage account: {brief(error)}")
        return NOT_AS_WISHED
    except KeyboardInterrupt:
        return INTERRUPTED


def environment() -> dict[str, str]:
    """Return the settings: the environment, over `local.settings.json` in this directory.

    Raises `ConfigError` where that file cannot be read.
    """
    return {**local_values(Path.cwd()), **os.environ}


# --- arguments


def add_operation(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the argument OPERATION; what it means is read by `operations.key_of`."""
    parser.add_argument(
        "operation",
        metavar="OPERATION",
        nargs=nargs,
        help="an operation in any form that can be posted, or SUBSCRIPTION/KEY as its row has them",
    )


def instant(text: str) -> datetime:
    """Read an argument that is an instant, or a date (its beginning in UTC)."""
    at = parse_instant(text) or parse_instant(f"{text}T00:00:00Z")
    if at is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant such as 2026-11-23T03:00:00Z")
    return at


# --- saying


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints texts as they are, in colour where it is a terminal."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def complain(text: str) -> None:
    """Say on stderr what is wrong."""
    console(stderr=True).print(text)


def teller(out: Console) -> Say:
    """Return what prints a line for each check."""

    def say(mark: Mark, topic: str, text: str) -> None:
        out.print(Text.assemble((mark, _STYLES[mark]), f" {topic:<10} ", text))

    return say


def since(began: float) -> str:
    """Return how long it has been since `time.perf_counter()` was `began`."""
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


def print_json(value: object) -> None:
    """Print a value as JSON, to be read by people and programs: nothing in it moves a cursor."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    is_plain = all(c.isprintable() or c == "\n" for c in text)
    console().print(text if is_plain else json.dumps(value, indent=2))


def brief(error: Exception) -> str:
    """Return the first line of what an error says, free of secrets."""
    lines = redact_text(str(error) or type(error).__name__).splitlines()
    return one_line(lines[0], 300)
