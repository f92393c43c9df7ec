"""`opswatch stop`: stops watching an operation; the ARM operation goes on."""

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.operations import OPERATION_HELP, find_key, operation_path
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import run_async
from opswatch.config import SERVICES

_EXAMPLES = """\b
Examples:
  opswatch stop 6432a8f9
"""


@click.command(epilog=f"{OPERATION_HELP}\n\n{_EXAMPLES}")
@click.argument("operation")
@run_async
@source_options(needs=SERVICES)
async def command(operation: str, target: Target) -> int:
    """Stop watching an operation.

    The operation itself goes on in Azure. No callback is sent. Stopping it twice is no error. The
    exit code is 1 if the operation has ended otherwise, and 2 if it is unknown.
    """
    async with target.open() as source:
        key = await find_key(source, operation)
        await source.call("POST", f"{operation_path(key)}/stop")
    click.echo(f"stopped watching {key}")
    return EXIT_SUCCESS
