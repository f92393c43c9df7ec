"""`opswatch show`: one operation with its deliveries."""

import click

from opswatch.bootstrap import open_services
from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS
from opswatch.cli.operations import OPERATION_HELP, find_operation, read_key
from opswatch.cli.terminal import environment, print_error, print_json, run_async
from opswatch.cli.texts import operation_lines
from opswatch.views import operation_as_json


@click.command(epilog=OPERATION_HELP)
@click.argument("operation")
@click.option("--json", "is_json", is_flag=True, help="Print the rows as JSON.")
@run_async
async def command(operation: str, is_json: bool) -> int:
    """Show an operation and its deliveries.

    The exit code is 1 if the operation is unknown.
    """
    async with open_services(environment()) as services:
        key = read_key(operation, services.intake, services.clock())
        view = await find_operation(services, key)
    if view is None:
        print_error(f"{key} is unknown")
        return EXIT_FAILURE
    if is_json:
        print_json(operation_as_json(view))
    else:
        click.echo("\n".join(operation_lines(view)))
    return EXIT_SUCCESS
