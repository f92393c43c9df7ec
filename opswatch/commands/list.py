"""`opswatch list`: operations, newest first."""

import argparse
from datetime import datetime, timedelta

from rich.table import Table

from opswatch.bootstrap import open_services
from opswatch.commands.operations import newest_first
from opswatch.commands.terminal import OK, console, environment, instant, print_json, run
from opswatch.commands.views import key_text, line_json, moment
from opswatch.core.texts import one_line
from opswatch.core.watches import FinalStatus, TimelineEntry

WATCHING = "watching"
_COLUMNS = ("registered", "status", "kind", "ended", "error", "operation")
_STYLES = {FinalStatus.SUCCEEDED.value: "green"} | dict.fromkeys(
    [FinalStatus.FAILED.value, FinalStatus.TIMED_OUT.value, FinalStatus.LOST.value], "red"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch list` to `parser`."""
    parser.add_argument(
        "--status", help="such as Failed or InProgress; 'watching' for all that has not ended"
    )
    parser.add_argument(
        "--since", type=instant, metavar="INSTANT", help="of registration; 30 days unless told"
    )
    parser.add_argument("--top", type=int, default=50, metavar="N", help="how many; 50 unless told")
    parser.add_argument("--json", action="store_true", help="as an array of JSON objects")


def command(options: argparse.Namespace) -> int:
    """List operations; an empty list is no mistake."""
    return run(_list(options))


async def _list(options: argparse.Namespace) -> int:
    lines: list[TimelineEntry] = []
    async with open_services(environment()) as services:
        now = services.clock()
        since: datetime = options.since or now - timedelta(days=30)
        async for line in newest_first(services, since, now):
            if len(lines) >= options.top:
                break
            if _has_status(line, options.status):
                lines.append(line)
    if options.json:
        print_json([line_json(line) for line in lines])
    else:
        _print(lines)
    return OK


def _has_status(line: TimelineEntry, wanted: str | None) -> bool:
    if wanted is None:
        return True
    if wanted.lower() == WATCHING:
        return line.finished_at is None
    return (line.status or "").lower() == wanted.lower()


def _print(lines: list[TimelineEntry]) -> None:
    """Print a table on a terminal, and tab-separated values anywhere else."""
    out = console()
    rows = [_cells(line) for line in lines]
    if not out.is_terminal:
        for cells in rows:
            out.file.write("\t".join(cells) + "\n")  # rich would expand the tabs
        return
    table = Table(*_COLUMNS, box=None, header_style="bold")
    table.columns[-1].overflow = "fold"
    for line, cells in zip(lines, rows, strict=True):
        table.add_row(*cells, style=_STYLES.get(line.status or "", ""))
    out.print(table, soft_wrap=False)


def _cells(line: TimelineEntry) -> tuple[str, ...]:
    return (
        moment(line.registered_at),
        one_line(line.status or ""),
        one_line(line.kind or ""),
        moment(line.end_time or line.finished_at),
        one_line(line.error_code or ""),
        key_text(line.operation),
    )
