"""`opswatch list`: operations, newest first."""

from datetime import datetime, timedelta

import click
from rich.table import Table

from opswatch.bootstrap import open_services
from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.terminal import console, environment, print_json, read_timestamp, run_async
from opswatch.cli.texts import short_instant
from opswatch.core.texts import one_line
from opswatch.core.watches import FinalStatus, TimelineEntry
from opswatch.queries import OperationFilter, iter_operations
from opswatch.views import timeline_entry_as_json

_WATCHING = "watching"
_COLUMNS = ("registered", "status", "kind", "ended", "error", "operation")
_STYLES = {FinalStatus.SUCCEEDED.value: "green"} | dict.fromkeys(
    [FinalStatus.FAILED.value, FinalStatus.TIMED_OUT.value, FinalStatus.LOST.value], "red"
)


@click.command()
@click.option("--status", help="E.g. Failed or InProgress; 'watching' for all without a result.")
@click.option(
    "--since",
    type=read_timestamp,
    metavar="TIMESTAMP",
    help="Registered since (default: 30 days ago).",
)
@click.option(
    "--top", type=int, default=50, show_default=True, metavar="N", help="How many at most."
)
@click.option("--json", "is_json", is_flag=True, help="Print an array of JSON objects.")
@run_async
async def command(status: str | None, since: datetime | None, top: int, is_json: bool) -> int:
    """List operations, newest first.

    Prints a table on a terminal, and tab-separated values otherwise.
    """
    entries: list[TimelineEntry] = []
    async with open_services(environment()) as services:
        now = services.clock()
        is_watching = status is not None and status.lower() == _WATCHING
        wanted = OperationFilter(
            since=since or now - timedelta(days=30),
            statuses=(status,) if status and not is_watching else (),
            is_watching=True if is_watching else None,
        )
        async for entry in iter_operations(services.store, wanted, now):
            if len(entries) >= top:
                break
            entries.append(entry)
    if is_json:
        print_json([timeline_entry_as_json(entry) for entry in entries])
    else:
        _print_table(entries)
    return EXIT_SUCCESS


def _print_table(entries: list[TimelineEntry]) -> None:
    """Print a table on a terminal, and tab-separated values otherwise."""
    out = console()
    table = Table(*_COLUMNS, box=None, header_style="bold")
    table.columns[-1].overflow = "fold"
    for entry in entries:
        cells = (
            short_instant(entry.registered_at),
            one_line(entry.status or ""),
            one_line(entry.kind or ""),
            short_instant(entry.end_time or entry.finished_at),
            one_line(entry.error_code or ""),
            str(entry.operation),
        )
        if out.is_terminal:
            table.add_row(*cells, style=_STYLES.get(entry.status or "", ""))
        else:
            click.echo("\t".join(cells))  # rich would expand the tabs
    if out.is_terminal:
        out.print(table, soft_wrap=False)
