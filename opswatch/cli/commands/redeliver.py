"""`opswatch redeliver`: sends settled deliveries again, under the same ids."""

from datetime import datetime

import click

from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS
from opswatch.cli.operations import OPERATION_HELP, find_key
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import print_error, read_timestamp, run_async
from opswatch.steps.control import redeliver, redeliver_abandoned


@click.command(epilog=f"{OPERATION_HELP} SUBSCRIPTION and KEY may be two arguments.")
@click.argument("operation", nargs=-1)
@click.option(
    "--abandoned-since",
    type=read_timestamp,
    metavar="TIMESTAMP",
    help="All deliveries that were abandoned at this time or later.",
)
@run_async
@source_options(reads_only=False)
async def command(
    operation: tuple[str, ...], abandoned_since: datetime | None, target: Target
) -> int:
    """Send settled deliveries again.

    Either those of an OPERATION or, with --abandoned-since, all that were abandoned. Each keeps its
    id. The exit code is 1 if the operation has no settled delivery.
    """
    is_named = len(operation) in (1, 2)
    if is_named == bool(abandoned_since) or (operation and not is_named):
        raise click.UsageError("Either an OPERATION or --abandoned-since TIMESTAMP is needed")
    async with target.open() as source:
        services = source.services
        if services is None:
            raise click.UsageError("redeliver needs the storage")
        if abandoned_since:
            count = await redeliver_abandoned(services, abandoned_since)
        else:
            key = await find_key(source, "/".join(operation))
            count = await redeliver(services, key)
            if not count:
                print_error(f"{key} has no settled delivery")
                return EXIT_FAILURE
    click.echo(f"queued {count} {'delivery' if count == 1 else 'deliveries'}")
    return EXIT_SUCCESS
