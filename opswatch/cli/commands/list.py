"""`opswatch list`: operations, newest first."""

import click

from opswatch.cli.columns import operation_columns
from opswatch.cli.listing import SINCE_HELP, Filters, Listing, list_options
from opswatch.cli.operations import key_of
from opswatch.core.watches import FinalStatus

_EXAMPLES = """\b
Examples:
  opswatch list
  opswatch list --status Failed,Lost --since 1d
  opswatch list --state watching --resource cache-1 -o wide
  opswatch list --kind redisEnterprise/create --since P7D --count
  opswatch list --status Failed --top 0 -o name
"""
_ENDS = frozenset(status.lower() for status in FinalStatus)
_STATES = ("watching", "finished")


@click.command(epilog=_EXAMPLES)
@click.option("--state", type=click.Choice(_STATES), help="Without a result, or with one.")
@click.option("--status", metavar="STATUS,…", help="E.g. Failed,Lost or InProgress.")
@click.option("--operation", metavar="ID", help="The beginning of an operation ID.")
@click.option("--subscription", metavar="ID,…", help="The subscription ID.")
@click.option("--provider", metavar="NAME,…", help="E.g. Microsoft.Cache.")
@click.option("--location", metavar="NAME,…", help="E.g. westus.")
@click.option("--kind", metavar="KIND,…", help="E.g. redisEnterprise/create.")
@click.option("--resource", metavar="TEXT", help="A part of the resource ID.")
@click.option("--since", metavar="WHEN", help=f"Registered since: {SINCE_HELP}")
@click.option("--until", metavar="WHEN", help="Registered before.")
@list_options
async def command(listing: Listing, filters: Filters) -> int:
    """List operations, newest first.

    Of a filter with several values, by comma, one must hold; of several filters, all.
    """
    if (filters["status"] or "").lower() in _STATES:
        raise click.UsageError(f"--status {filters['status']}: it is a state: --state")
    statuses = [text.strip() for text in (filters["status"] or "").split(",")]
    others = [text for text in statuses if text and text.lower() not in _ENDS]
    return await listing.print(
        "operations",
        filters,
        operation_columns,
        lambda row: str(key_of(row)),
        if_empty=f"no running operation has the status {', '.join(others)}, in ARM's words; "
        f"an end is {', '.join(FinalStatus)}"
        if others
        else None,
        # Those that are watched come in the order of their keys.
        sort=lambda rows: sorted(rows, key=lambda row: str(row["registeredAt"]), reverse=True),
    )
