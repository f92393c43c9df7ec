"""`opswatch cancel`: stop watching an operation; ARM's operation goes on."""

import argparse

from opswatch.bootstrap import open_services
from opswatch.commands.operations import key_of
from opswatch.commands.terminal import (
    NOT_AS_WISHED,
    OK,
    add_operation,
    complain,
    console,
    environment,
    run,
)
from opswatch.commands.views import key_text
from opswatch.steps.control import StopOutcome, stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch cancel` to `parser`."""
    add_operation(parser)
    parser.epilog = "The operation itself goes on in Azure. Nobody is called back."


def command(options: argparse.Namespace) -> int:
    """Stop a watch; return 1 where there is none to stop."""
    return run(_cancel(options.operation))


async def _cancel(operation: str) -> int:
    async with open_services(environment()) as services:
        key = key_of(operation, services.intake, services.clock())
        stopping = await stop(services, key)
    match stopping:
        case StopOutcome.STOPPED:
            console().print(f"{key_text(key)} is watched no longer")
            return OK
        case StopOutcome.ENDED_BEFORE:
            complain(f"{key_text(key)} has ended already")
        case StopOutcome.UNKNOWN:
            complain(f"{key_text(key)} is not known")
    return NOT_AS_WISHED
