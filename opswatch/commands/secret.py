"""`opswatch secret`: makes a secret that callbacks are signed with."""

import argparse
from secrets import token_bytes

from opswatch.commands.terminal import OK, complain, console
from opswatch.core.webhook import Secret

_BYTES = 32
_ADVICE = (
    "Put it first in OPSWATCH_CALLBACK_SECRETS, before the old one and a space, and give it to "
    "your receivers; take the old one out when all of them have it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch secret` to `parser`: there are none."""
    parser.epilog = _ADVICE


def command(_: argparse.Namespace) -> int:
    """Print a new secret, and on stderr what to do with it."""
    console().print(Secret(token_bytes(_BYTES)).text)
    complain(_ADVICE)
    return OK
