"""`opswatch rejections`: the posts that were rejected, the newest day first."""

import click

from opswatch.cli.columns import REJECTION_COLUMNS, rejection_id
from opswatch.cli.listing import SINCE_HELP, Filters, Listing, list_options

_EXAMPLES = """\b
Examples:
  opswatch rejections
  opswatch rejections --since 1h --reason MissingSetting,NotJson
  opswatch rejections -o json
"""


@click.command(epilog=_EXAMPLES)
@click.option("--reason", metavar="REASON,…", help="E.g. InvalidOperation or MissingSetting.")
@click.option("--since", metavar="WHEN", help=f"Received since: {SINCE_HELP}")
@list_options
async def command(listing: Listing, filters: Filters) -> int:
    """List rejected posts.

    The newest day comes first. COUNT is how often the same text was posted on that day.
    """
    return await listing.print(
        "rejections",
        filters,
        lambda _: REJECTION_COLUMNS,
        rejection_id,
        # Those of a day come in no order.
        sort=lambda rows: sorted(rows, key=lambda row: str(row["receivedAt"]), reverse=True),
    )
