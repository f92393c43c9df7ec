"""`opswatch show`: one operation with its deliveries."""

import argparse

from opswatch.bootstrap import open_services
from opswatch.commands.operations import key_of, stand
from opswatch.commands.terminal import (
    NOT_AS_WISHED,
    OK,
    add_operation,
    complain,
    console,
    environment,
    print_json,
    run,
)
from opswatch.commands.views import key_text, standing_json, standing_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch show` to `parser`."""
    add_operation(parser)
    parser.add_argument("--json", action="store_true", help="as its row has it, JSON unfolded")


def command(options: argparse.Namespace) -> int:
    """Show an operation; return 1 where it is not known."""
    return run(_show(options.operation, is_json=options.json))


async def _show(operation: str, *, is_json: bool) -> int:
    async with open_services(environment()) as services:
        key = key_of(operation, services.intake, services.clock())
        standing = await stand(services, key)
    if standing is None:
        complain(f"{key_text(key)} is not known")
        return NOT_AS_WISHED
    if is_json:
        print_json(standing_json(standing))
    else:
        console().print("\n".join(standing_lines(standing)))
    return OK
