"""`opswatch tail`: follows operations as they change."""

import asyncio

import click

from opswatch.cli.exit_codes import exit_code_of
from opswatch.cli.operations import OPERATION_HELP, find_key, get_operation, key_of
from opswatch.cli.pages import iter_pages
from opswatch.cli.source import Source, Target, source_options, utc_now
from opswatch.cli.terminal import run_async
from opswatch.cli.texts import change_text, short_instant
from opswatch.core.keys import Key


@click.command(epilog=OPERATION_HELP)
@click.argument("operation", required=False)
@click.option(
    "--every",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="The pause between two looks.",
)
@run_async
@source_options(reads_only=True)
async def command(operation: str | None, every: float, target: Target) -> int:
    """Follow operations as they change.

    Without an OPERATION, all are followed until Ctrl-C. With one, it is followed until it has
    ended: the exit code is 0 if it succeeded, and 1 if not.
    """
    async with target.open() as source:
        changes: dict[Key, str] = {}
        if operation is None:
            await _follow_all(source, changes, every)
        key = await find_key(source, operation or "", may_be_new=True)
        while True:
            row = await get_operation(source, key)
            _print_change(changes, key, change_text(row) if row else "not known yet")
            if row and row["state"] == "finished":
                return exit_code_of([row["status"]])
            await asyncio.sleep(every)


def _print_change(changes: dict[Key, str], key: Key, text: str) -> None:
    """Print a line, unless the last one about `key` has the same text."""
    if changes.get(key) != text:
        changes[key] = text
        click.echo(f"{short_instant(utc_now())}  {text:<12}  {key}")


async def _follow_all(source: Source, changes: dict[Key, str], every: float) -> None:
    watched: set[Key] = set()
    since = utc_now().isoformat()
    while True:
        running = set()
        query = {"state": "watching"}
        async for page in iter_pages(source, "operations", query):
            for row in page:
                running.add(key_of(row))
                _print_change(changes, key_of(row), change_text(row))
        registered = set()
        async for page in iter_pages(source, "operations", {"since": since}):
            registered |= {key_of(row) for row in page}
        for key in (watched | registered) - running:
            found = await get_operation(source, key)
            if found and found["state"] == "finished":
                _print_change(changes, key, change_text(found))
        watched = running
        await asyncio.sleep(every)
