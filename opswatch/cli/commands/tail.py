"""`opswatch tail`: follows operations as they change."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import click

from opswatch.cli.columns import label_of, operation_columns
from opswatch.cli.exit_codes import EXIT_SUCCESS, exit_code_of
from opswatch.cli.operations import OPERATION_HELP, find_key, get_operation, key_of
from opswatch.cli.output import Format, Output, Row, note, output_options
from opswatch.cli.pages import iter_pages
from opswatch.cli.source import Source, Target, source_options, utc_now
from opswatch.cli.terminal import run_async
from opswatch.cli.texts import change_text, short_instant
from opswatch.cli.waiting import Looks
from opswatch.config import TABLES
from opswatch.core.keys import Key

_OVERLAP = timedelta(seconds=30)  # clocks differ, and a row becomes visible after its timestamp
_MOST = 5000  # operations that are followed
_AT_FIRST = 20  # of them, those that are printed at the beginning
_EXAMPLES = """\b
Examples:
  opswatch tail 6432a8f9
  opswatch tail --until-empty
  opswatch tail --only Failed,Lost --until-empty -o jsonl
  opswatch tail --kind redisEnterprise/create --until-empty
"""


@click.command(epilog=f"{OPERATION_HELP}\n\n{_EXAMPLES}")
@click.argument("operation", required=False)
@click.option("--only", metavar="STATUS,…", help="Print only changes to these, e.g. Failed,Lost.")
@click.option("--until-empty", is_flag=True, help="End when nothing is watched any more.")
@click.option("--subscription", metavar="ID,…", help="Follow only this subscription's.")
@click.option("--kind", metavar="KIND,…", help="Follow only this kind.")
@click.option("--resource", metavar="TEXT", help="Follow those whose resource ID has this part.")
@click.option("--jsonl", "is_jsonl", is_flag=True, help="Short for --output jsonl.")
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="The pause between two looks.",
)
@run_async
@output_options
@source_options(needs={TABLES})
async def command(  # noqa: PLR0913 - as many options
    operation: str | None,
    *,
    only: str | None,
    until_empty: bool,
    is_jsonl: bool,
    every: float,
    output: Output,
    target: Target,
    **filters: str | None,
) -> int:
    """Follow operations as they change.

    Without an OPERATION, all are followed until Ctrl-C, or until none is watched. With one, it is
    followed until it has ended: the exit codes are those of `opswatch wait`. An outage of up to 10
    minutes is ridden out.
    """
    query = {name: text for name, text in filters.items() if text is not None}
    if operation is not None and (query or until_empty):
        raise click.UsageError("An OPERATION is followed alone: without filters and --until-empty")
    wanted = None if only is None else {word.strip().lower() for word in only.split(",")}
    changes = _Changes(replace(output, format=Format.JSONL) if is_jsonl else output, wanted)
    async with target.open() as source:
        if operation is not None:
            return await _follow_one(source, operation, changes, every)
        await _follow_all(source, changes, query, every, until_empty=until_empty)
    return EXIT_SUCCESS


@dataclass(slots=True)
class _Changes:
    """Prints each change of an operation once."""

    output: Output
    only: set[str] | None
    bars: dict[tuple[Key, int], int] = field(default_factory=dict)
    printed: dict[Key, str] = field(default_factory=dict)

    def add(self, row: Row, *, is_silent: bool = False) -> None:
        """Print a row, unless it is as it was printed last, or not wanted."""
        key, text = key_of(row), change_text(row, self.bars)
        if self.printed.get(key) == text:
            return
        self.printed[key] = text
        if is_silent or (self.only is not None and str(row["status"]).lower() not in self.only):
            return
        if self.output.is_table:
            click.echo(f"{short_instant(utc_now())}  {text:<12}  {label_of(row)}")
        else:
            self.output.print_line(row, operation_columns([row]), lambda row: str(key_of(row)))

    def forget(self, keep: set[Key]) -> None:
        """Forget what was printed of other operations."""
        self.printed = {key: text for key, text in self.printed.items() if key in keep}
        self.bars = {drawn: done for drawn, done in self.bars.items() if drawn[0] in keep}


async def _follow_one(source: Source, operation: str, changes: _Changes, every: float) -> int:
    key = await find_key(source, operation, may_be_new=True)
    looks, is_noted = Looks(), False
    while True:
        row = await looks.look(get_operation(source, key))
        if row is not None:
            changes.add(row)
            if row["state"] == "finished":
                return exit_code_of([row["status"]])
        elif not is_noted and not looks.is_failing:
            is_noted = True
            note(f"{key} is not known yet")
        await asyncio.sleep(every)


async def _follow_all(
    source: Source, changes: _Changes, query: Mapping[str, str], every: float, *, until_empty: bool
) -> None:
    """Follow the watches, and the operations that are registered from now on.

    The latter may begin and end between two looks at the watches: the timeline has them.
    """
    looks, since, is_first = Looks(), utc_now(), True
    watched: set[Key] = set()
    while True:
        began, now = time.monotonic(), utc_now()
        rows = await looks.look(_read_watched(source, query))
        if rows is not None:
            running = {key_of(row) for row in rows}
            for number, row in enumerate(rows):
                changes.add(row, is_silent=is_first and number >= _AT_FIRST)
            if is_first:
                _note_bounds(len(rows))
            reading = _read_ended(source, query, since.isoformat(), watched - running)
            ended = await looks.look(reading)
            if ended is not None:
                for row in ended:
                    changes.add(row)
                changes.forget(running | {key_of(row) for row in ended})
                watched, since, is_first = running, now - _OVERLAP, False
                if until_empty and not running:
                    return
        # A look that takes long is not to be most of what the storage does.
        await asyncio.sleep(max(every, time.monotonic() - began))


async def _read_watched(source: Source, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the operations that are watched, the newest first; no more than `_MOST`."""
    rows: list[dict[str, Any]] = []
    async for page in iter_pages(source, "operations", {**query, "state": "watching"}):
        rows += page
        if len(rows) >= _MOST:
            break
    return sorted(rows[:_MOST], key=lambda row: str(row["registeredAt"]), reverse=True)


async def _read_ended(
    source: Source, query: Mapping[str, str], since: str, left: set[Key]
) -> list[dict[str, Any]]:
    """Return what has ended of the operations that are `left`, and of those registered lately."""
    rows: dict[Key, dict[str, Any]] = {}
    newest = {**query, "state": "finished", "since": since}
    async for page in iter_pages(source, "operations", newest):
        rows |= {key_of(row): row for row in page}
        if len(rows) >= _MOST:
            break
    for key in left - rows.keys():
        row = await get_operation(source, key)
        if row is not None and row["state"] == "finished":
            rows[key] = row
    return list(rows.values())


def _note_bounds(count: int) -> None:
    if count >= _MOST:
        note(f"following {_MOST} operations; --subscription, --kind and --resource choose which")
    elif count > _AT_FIRST:
        note(f"{_AT_FIRST} of {count} that are watched; the others when they change")
