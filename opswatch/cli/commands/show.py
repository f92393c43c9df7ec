"""`opswatch show`: one operation with its deliveries."""

import click

from opswatch.cli.columns import operation_columns
from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.operations import OPERATION_HELP, find_key, get_operation, key_of, unknown
from opswatch.cli.output import Format, Output, output_options
from opswatch.cli.source import Target, source_options, utc_now
from opswatch.cli.terminal import print_json, run_async
from opswatch.cli.texts import operation_lines
from opswatch.config import TABLES

_EXAMPLES = """\b
Examples:
  opswatch show 6432a8f9
  opswatch show 6432a8f9 --time iso
  opswatch show 6432a8f9 -o json
"""


@click.command(epilog=f"{OPERATION_HELP}\n\n{_EXAMPLES}")
@click.argument("operation")
@run_async
@output_options
@source_options(needs={TABLES})
async def command(operation: str, output: Output, target: Target) -> int:
    """Show an operation and its deliveries.

    The exit code is 2 if the operation is unknown.
    """
    async with target.open() as source:
        key = await find_key(source, operation)
        row = await get_operation(source, key)
    if row is None:
        raise unknown(key)
    if output.is_table:
        now = utc_now()
        click.echo("\n".join(operation_lines(row, lambda at: output.when(at, now))))
    elif output.format is Format.JSON:
        print_json(row)
    else:
        output.print_rows([row], operation_columns([row]), lambda row: str(key_of(row)))
    return EXIT_SUCCESS
