"""`opswatch kinds`: what is learned of each kind of operation."""

import click

from opswatch.cli.columns import KIND_COLUMNS, kind_name
from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.output import Output, output_options
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import run_async
from opswatch.config import TABLES

_EXAMPLES = """\b
Examples:
  opswatch kinds
  opswatch kinds -o csv
"""


@click.command(epilog=_EXAMPLES)
@run_async
@output_options
@source_options(needs={TABLES})
async def command(*, output: Output, target: Target) -> int:
    """List kinds of operations and how long they take.

    P50, P90 and P99 are the durations that half, nine in ten and 99 in 100 did not exceed, with a ~
    if fewer than 20 have ended; SLOW is how many run longer than P99 now.
    """
    async with target.open() as source:
        answer = await source.call("GET", "kinds")
    output.print_rows(answer["value"], KIND_COLUMNS, kind_name)
    return EXIT_SUCCESS
