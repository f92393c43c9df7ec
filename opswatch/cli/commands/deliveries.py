"""`opswatch deliveries`: the pending ones, then the settled ones, newest first."""

import click

from opswatch.cli.columns import DELIVERY_COLUMNS, operation_of
from opswatch.cli.listing import SINCE_HELP, Filters, Listing, list_options

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
@list_options
async def command(listing: Listing, filters: Filters) -> int:
    """List deliveries of callbacks.

    The pending ones come first, then the settled ones, newest first. `-o name` prints the
    operations that they belong to.
    """
    return await listing.print(
        "deliveries",
        filters,
        lambda _: DELIVERY_COLUMNS,
        operation_of,
    )
