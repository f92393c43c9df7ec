"""`opswatch secret`: generates a secret that callbacks are signed with."""

from secrets import token_bytes

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.core.webhook import Secret

_BYTES = 32
_ADVICE = (
    "Put it first in OPSWATCH_CALLBACK_SECRETS, then a space and the old one, and give it to your "
    "receivers. Remove the old one when every receiver has the new one."
)
_EXAMPLES = """\b
Examples:
  opswatch secret
"""


@click.command(epilog=f"{_ADVICE}\n\n{_EXAMPLES}")
def command() -> int:
    """Generate a secret that callbacks are signed with."""
    click.echo(Secret(token_bytes(_BYTES)).text)
    click.echo(_ADVICE, err=True)
    return EXIT_SUCCESS
