"""What the commands share: settings, running a coroutine, errors as sentences, and a console."""

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
from rich.console import Console
from rich.text import Text

from opswatch.cli.exit_codes import EXIT_INTERRUPTED
from opswatch.cli.failures import command_error
from opswatch.core.times import parse_duration
from opswatch.local.host.settings import local_values

P = ParamSpec("P")
Main = Callable[..., Coroutine[Any, Any, int]]  # of a command: returns the exit code
_CLOSING = 1.0  # seconds
_SHORT_DURATION = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Mark(StrEnum):
    """The first character of a line about a check."""

    GOOD = "✓"
    BAD = "✗"
    INFO = "·"


Reporter = Callable[[Mark, str, str], None]  # the mark, a topic of one word, the text
_PLAIN = {Mark.GOOD: "+", Mark.BAD: "x", Mark.INFO: "-"}  # if the output is not UTF-8
_STYLES = {Mark.GOOD: "green", Mark.BAD: "bold red", Mark.INFO: "dim"}


def environment() -> dict[str, str]:
    """Return the settings: the environment, over `local.settings.json` in this directory.

    Raises `ConfigError` if that file cannot be read.
    """
    return {**local_values(Path.cwd()), **os.environ}


# --- running


def run_async(main: Callable[P, Coroutine[Any, Any, int]]) -> Callable[P, int]:
    """Make a command of a coroutine function that returns an exit code.

    Expected errors become a `CommandError`: one sentence on stderr and an exit code. Nothing that
    was begun is waited for longer than a second: a sign-in may start a program that ignores its
    cancellation, and `asyncio.run` would wait for it for minutes.
    """

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        logging.getLogger("azure").addHandler(logging.NullHandler())  # it logs what it raises
        runner = asyncio.Runner()
        try:
            return runner.run(main(*args, **kwargs))
        except (click.ClickException, BrokenPipeError):
            raise
        except Exception as error:
            if failed := command_error(error):
                raise failed from None
            raise
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        finally:
            _close(runner)

    return run


def _close(runner: asyncio.Runner) -> None:
    """End the loop of a runner, whose own `close` waits until every task and thread has ended."""
    loop = runner.get_loop()

    async def cancel_all() -> None:
        begun = asyncio.all_tasks() - {asyncio.current_task()}
        for task in begun:
            task.cancel()
        if begun:
            await asyncio.wait(begun, timeout=_CLOSING)
        loop.set_exception_handler(lambda *_: None)  # of what is left behind

    try:
        runner.run(cancel_all())
    finally:
        loop.close()
        asyncio.set_event_loop(None)


# --- printing


def console() -> Console:
    """Return a console that prints texts unchanged, in colour if it is a terminal."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_error(text: str) -> None:
    """Print on stderr what is wrong."""
    click.echo(text, err=True)


def print_json(value: object, indent: int | None = 2) -> None:
    """Print a value as JSON; non-ASCII characters as they are if they can be printed."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    is_printable = all(c.isprintable() or c == "\n" for c in text)
    if not (is_printable and is_utf8(sys.stdout)):
        text = json.dumps(value, indent=indent)
    click.echo(text)


def is_utf8(stream: Any) -> bool:
    """Return whether every character can be written to a stream."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def reporter(out: Console) -> Reporter:
    """Return a function that prints one line about a check."""
    is_plain = not is_utf8(sys.stdout)

    def report(mark: Mark, topic: str, text: str) -> None:
        shown = _PLAIN[mark] if is_plain else mark
        out.print(Text.assemble((shown, _STYLES[mark]), f" {topic:<10} ", text))

    return report


def elapsed(began: float) -> str:
    """Return the time since `time.perf_counter()` was `began`."""
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


# --- arguments


def read_duration(text: str) -> timedelta:
    """Read a length of time: ISO 8601, or a number with s, m, h, d or w; `0` is none at all.

    Raises `click.BadParameter`.
    """
    short = _SHORT_DURATION.fullmatch(text.strip())
    if short:
        return timedelta(**{_UNITS[short[2]]: int(short[1])})
    length = timedelta(0) if text.strip() == "0" else parse_duration(text)
    if length is None:
        raise click.BadParameter(f"{text!r} is not a duration such as PT1H, 90s or 10m")
    return length
