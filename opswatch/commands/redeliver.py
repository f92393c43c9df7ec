"""`opswatch redeliver`: replays settled deliveries under their old ids."""

import argparse

from opswatch.bootstrap import open_services
from opswatch.commands.operations import key_of
from opswatch.commands.terminal import (
    NOT_AS_WISHED,
    OK,
    UsageError,
    complain,
    console,
    environment,
    instant,
    run,
)
from opswatch.commands.views import key_text
from opswatch.ports import Services
from opswatch.steps.control import redeliver, redeliver_abandoned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch redeliver` to `parser`."""
    parser.add_argument(
        "operation",
        nargs="*",
        metavar="OPERATION",
        help="in any form that can be posted, or SUBSCRIPTION/KEY, or SUBSCRIPTION KEY",
    )
    parser.add_argument(
        "--abandoned-since",
        type=instant,
        metavar="INSTANT",
        help="replay every delivery that was last attempted since then and given up",
    )


def command(options: argparse.Namespace) -> int:
    """Replay; return 1 where an operation has no settled delivery."""
    return run(_redeliver(options))


async def _redeliver(options: argparse.Namespace) -> int:
    is_named = len(options.operation) in (1, 2)
    if is_named == bool(options.abandoned_since) or (options.operation and not is_named):
        raise UsageError("Either an OPERATION or --abandoned-since INSTANT is needed")
    async with open_services(environment()) as services:
        if is_named:
            return await _one(services, "/".join(options.operation))
        count = await redeliver_abandoned(services, options.abandoned_since)
        console().print(f"{count} to be delivered again")
        return OK


async def _one(services: Services, operation: str) -> int:
    key = key_of(operation, services.intake, services.clock())
    count = await redeliver(services, key)
    if not count:
        complain(f"{key_text(key)} has no delivery that is settled")
        return NOT_AS_WISHED
    console().print(f"{count} to be delivered again")
    return OK
