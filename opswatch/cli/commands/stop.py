"""`opswatch stop`: stops watching an operation; the ARM operation goes on."""

import click

from opswatch.bootstrap import open_services
from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS
from opswatch.cli.operations import OPERATION_HELP, read_key, require_tables
from opswatch.cli.terminal import environment, print_error, run_async
from opswatch.steps.control import StopOutcome, stop


@click.command(epilog=OPERATION_HELP)
@click.argument("operation")
@run_async
async def command(operation: str) -> int:
    """Stop watching an operation.

    The operation itself goes on in Azure. No callback is sent. The exit code is 1 if the operation
    has already ended or is unknown.
    """
    async with open_services(environment()) as services:
        key = read_key(operation, services.intake, services.clock())
        match await stop(services, key):
            case StopOutcome.STOPPED:
                click.echo(f"stopped watching {key}")
                return EXIT_SUCCESS
            case StopOutcome.ENDED_BEFORE:
                print_error(f"{key} has already ended")
            case StopOutcome.UNKNOWN:
                await require_tables(services)
                print_error(f"{key} is unknown")
    return EXIT_FAILURE
