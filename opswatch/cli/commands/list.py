"""`opswatch list`: operations, newest first."""

import click

from opswatch.cli.columns import operation_columns
from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.operations import key_of
from opswatch.cli.output import Output, output_options
from opswatch.cli.pages import count_rows, read_list
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import run_async

_EXAMPLES = """\b
Examples:
  opswatch list
  opswatch list --status Failed,Lost --since 1d
  opswatch list --state watching --resource cache-1 -o wide
  opswatch list --kind redisEnterprise/create --since P7D --count
  opswatch list --status Failed --top 0 -o name
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--state", type=click.Choice(["watching", "finished"]), help="Without a result, or with one."
)
@click.option("--status", metavar="STATUS,…", help="E.g. Failed,Lost or InProgress.")
@click.option("--operation", metavar="ID", help="The beginning of an operation ID.")
@click.option("--subscription", metavar="ID,…", help="The subscription ID.")
@click.option("--provider", metavar="NAME,…", help="E.g. Microsoft.Cache.")
@click.option("--location", metavar="NAME,…", help="E.g. westus.")
@click.option("--kind", metavar="KIND,…", help="E.g. redisEnterprise/create.")
@click.option("--resource", metavar="TEXT", help="A part of the resource ID.")
@click.option("--since", metavar="WHEN", help="Registered since: 1h, P1D or 2026-11-25T21:00:00Z.")
@click.option("--until", metavar="WHEN", help="Registered before.")
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="N",
    help="How many at most; 0 lists all.",
)
@click.option("--count", "is_count", is_flag=True, help="Print only how many there are.")
@run_async
@output_options
@source_options(reads_only=True)
async def command(
    *, top: int, is_count: bool, output: Output, target: Target, **filters: str | None
) -> int:
    """List operations, newest first.

    Of a filter with several values, by comma, one must hold; of several filters, all.
    """
    query = {name: text for name, text in filters.items() if text is not None}
    async with target.open() as source:
        if is_count:
            click.echo(await count_rows(source, "operations", query))
            return EXIT_SUCCESS
        listed = await read_list(source, "operations", query, top)
    # Those that are watched come in the order of their keys.
    rows = sorted(listed.rows, key=lambda row: str(row["registeredAt"]), reverse=True)
    output.print_rows(rows, operation_columns(rows), lambda row: str(key_of(row)))
    listed.note_rest()
    return EXIT_SUCCESS
