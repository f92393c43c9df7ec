"""`opswatch deliveries`: the pending ones, then the settled ones, newest first."""

import click

from opswatch.cli.columns import DELIVERY_COLUMNS
from opswatch.cli.listing import COUNT, SINCE_HELP, TOP, print_list
from opswatch.cli.output import Output, output_options
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import run_async

_EXAMPLES = """\b
Examples:
  opswatch deliveries
  opswatch deliveries --state abandoned --since 1d
  opswatch deliveries --state pending,abandoned --host hooks.example.com -o wide
  opswatch deliveries --state abandoned --count
"""


@click.command(epilog=_EXAMPLES)
@click.option("--state", metavar="STATE,…", help="pending, delivered or abandoned.")
@click.option("--host", metavar="HOST,…", help="The host of the callback URL.")
@click.option("--since", metavar="WHEN", help=f"Settled, or begun, since: {SINCE_HELP}")
@click.option("--until", metavar="WHEN", help="Settled, or begun, before.")
@TOP
@COUNT
@run_async
@output_options
@source_options(reads_only=True)
async def command(
    *, top: int, is_count: bool, output: Output, target: Target, **filters: str | None
) -> int:
    """List deliveries of callbacks.

    The pending ones come first, then the settled ones, newest first. `-o name` prints the
    operations that they belong to.
    """
    return await print_list(
        target,
        output,
        "deliveries",
        filters,
        lambda _: DELIVERY_COLUMNS,
        lambda row: f"{row['subscriptionId']}/{row['operationKey']}",
        top=top,
        is_count=is_count,
    )
