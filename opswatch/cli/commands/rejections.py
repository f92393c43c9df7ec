"""`opswatch rejections`: the posts that were rejected, the newest day first."""

import click

from opswatch.cli.columns import REJECTION_COLUMNS
from opswatch.cli.listing import COUNT, SINCE_HELP, TOP, print_list
from opswatch.cli.output import Output, output_options
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import run_async

_EXAMPLES = """\b
Examples:
  opswatch rejections
  opswatch rejections --since 1h --reason MissingSetting,NotJson
  opswatch rejections -o json
"""


@click.command(epilog=_EXAMPLES)
@click.option("--reason", metavar="REASON,…", help="E.g. InvalidOperation or MissingSetting.")
@click.option("--since", metavar="WHEN", help=f"Received since: {SINCE_HELP}")
@TOP
@COUNT
@run_async
@output_options
@source_options(reads_only=True)
async def command(
    *, top: int, is_count: bool, output: Output, target: Target, **filters: str | None
) -> int:
    """List rejected posts.

    The newest day comes first. COUNT is how often the same text was posted on that day.
    """
    return await print_list(
        target,
        output,
        "rejections",
        filters,
        lambda _: REJECTION_COLUMNS,
        lambda row: f"{row['day']}/{row['id']}",
        top=top,
        is_count=is_count,
        # Those of a day come in no order.
        sort=lambda rows: sorted(rows, key=lambda row: str(row["receivedAt"]), reverse=True),
    )
