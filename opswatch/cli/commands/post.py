"""`opswatch post`: posts an operation to the queue, as any other program does."""

import json
from typing import Any

import click

from opswatch.bootstrap import open_services
from opswatch.cli.exit_codes import EXIT_SUCCESS, EXIT_USAGE
from opswatch.cli.terminal import environment, print_error, run_async
from opswatch.core.intake import Rejection


@click.command()
@click.argument("operation")
@click.option("--callback", metavar="URL", help="Call this URL when the operation has ended.")
@click.option("--timeout", metavar="DURATION", help="Watch it no longer than this, e.g. PT6H.")
@click.option("--kind", help="A label for grouping, e.g. redisEnterprise/create.")
@click.option("--client-state", metavar="JSON", help="Copied into the row and the callback.")
@click.option("--force", is_flag=True, help="Post it even if it will be rejected.")
@run_async
async def command(
    operation: str,
    callback: str | None,
    timeout: str | None,  # noqa: ASYNC109 - of the operation
    kind: str | None,
    client_state: str | None,
    force: bool,
) -> int:
    """Post an operation to be watched.

    OPERATION is an operation ID, an ARM path, a URL or a JSON object. It is checked first: the exit
    code is 2 if it would be rejected. Options replace what a JSON object has.
    """
    async with open_services(environment()) as services:
        added = {
            "callbackUrl": callback,
            "timeout": timeout,
            "kind": kind,
            "clientState": _parse_json("--client-state", client_state),
        }
        given = {name: value for name, value in added.items() if value is not None}
        text = operation
        if given and operation.lstrip().startswith("{"):
            text = json.dumps({**_parse_json("OPERATION", operation), **given})
        elif given:
            text = json.dumps({"operation": operation.strip(), **given})
        body = text.encode()
        read = services.intake.read(body, services.clock())
        if isinstance(read, Rejection):
            print_error(f"{read.reason}: {read.detail}")
            if not force:
                return EXIT_USAGE
        await services.operations.send(body)
    click.echo("sent" if isinstance(read, Rejection) else read.operation.key)
    return EXIT_SUCCESS


def _parse_json(name: str, text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{name}: not JSON: {error}") from error
