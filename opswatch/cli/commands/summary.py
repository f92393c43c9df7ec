"""`opswatch summary`: what needs attention, as the app has counted it last."""

from collections.abc import Mapping

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.output import Column, Format, Output, Row, instant_of, output_options
from opswatch.cli.source import Target, source_options, utc_now
from opswatch.cli.terminal import print_json, run_async
from opswatch.config import TABLES
from opswatch.core.texts import one_line

_EXAMPLES = """\b
Examples:
  opswatch summary
  opswatch summary -o json
  opswatch summary -o csv
"""
_ENDS = {
    "succeeded": "Succeeded",
    "failed": "Failed",
    "canceled": "Canceled",
    "timedOut": "TimedOut",
    "lost": "Lost",
    "stopped": "Stopped",
}
_COUNTS = (*_ENDS, "delivered", "abandoned", "rejected")


@click.command(epilog=_EXAMPLES)
@run_async
@output_options
@source_options(needs={TABLES})
async def command(*, output: Output, target: Target) -> int:
    """Show what needs attention.

    The app counts it once a minute. `-o csv` and `-o tsv` print the last hours, one a line.
    """
    async with target.open() as source:
        counted = await source.call("GET", "summary")
    if output.is_table:
        click.echo("\n".join(_lines(counted, output)))
    elif output.format is Format.JSON:
        print_json(counted)
    else:
        columns = [
            Column(name=name, value=lambda row, name=name: row.get(name, 0))  # type: ignore[misc]
            for name in ("hour", *_COUNTS)
        ]
        output.print_rows(counted["hours"], columns, lambda row: str(row["hour"]))
    return EXIT_SUCCESS


def _lines(counted: Row, output: Output) -> list[str]:
    now = utc_now()

    def when(row: Row, name: str) -> str:
        return output.when(instant_of(row, name), now)

    day = counted["last24Hours"]
    ends = ", ".join(f"{day.get(name, 0)} {word}" for name, word in _ENDS.items())
    abandoned = day.get("abandoned", 0)
    values = {
        "counted": when(counted, "countedAt") or "not yet: the app counts once a minute",
        "watching": f"{counted['watching']} ({counted['overdue']} overdue, {counted['slow']} slow)",
        "oldest due": when(counted, "oldestDueAt"),
        "callbacks": f"{counted['pending']} pending, {counted['failing']} of them failing",
        "queues": _pairs(counted.get("queued", {})),
        "poison": _pairs(counted.get("poisoned", {})),  # those that the timer has handled, too
        "in 24 h": ends,
        # A delivery that is sent again may be abandoned again.
        "": f"{day.get('delivered', 0)} callbacks delivered; abandoned {abandoned} "
        f"{'time' if abandoned == 1 else 'times'}; {day.get('rejected', 0)} posts rejected",
    }
    lines = [f"{name:<11} {text}" for name, text in values.items() if text]
    for each in counted["circuits"]:
        until = instant_of(each, "openUntil")
        is_over = until is not None and until <= now
        next_ = "the next attempt decides" if is_over else f"next attempt {when(each, 'openUntil')}"
        host = one_line(each["host"])
        lines.append(f"{'paused':<11} {host} after {each['failures']} failures, {next_}")
    return lines


def _pairs(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {one_line(name)}" for name, count in counts.items())
