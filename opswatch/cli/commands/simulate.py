"""`opswatch simulate`: runs the simulator in the terminal."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS, EXIT_USAGE
from opswatch.cli.terminal import print_error
from opswatch.local.ports import PortError
from opswatch.local.simulator.durations import Distribution, parse_distribution
from opswatch.local.simulator.scripts import SCRIPTS
from opswatch.local.simulator.serve import Weights, parse_outcomes, serve

T = TypeVar("T")


def _parsed_by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse` as the type of an option: the text of its `ValueError` is shown."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return convert


_EXAMPLES = """\b
Examples:
  opswatch simulate
  opswatch simulate --count 3 --duration 60 --outcome succeeded=8,failed=1
  opswatch simulate --scripts
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7072,
    show_default=True,
    help="0 takes a free port.",
)
@click.option("--seed", type=int, help="Makes ids and random choices repeatable.")
@click.option(
    "--count",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Operations to start immediately.",
)
@click.option(
    "--duration",
    type=_parsed_by(parse_distribution),
    metavar="DURATION",
    help="How long operations take: seconds, PT5M, never, uniform:LEAST:MOST, exponential:MEAN or "
    "lognormal:MEDIAN:SIGMA (default: as scripted).",
)
@click.option(
    "--outcome",
    type=_parsed_by(parse_outcomes),
    default="succeeded",
    show_default=True,
    metavar="SCRIPT[=WEIGHT],…",
    help="Scripts to choose from, by weight: succeeded=8,failed=1 (--scripts lists them).",
)
@click.option("--throttle", is_flag=True, help="Enforce ARM's documented limit on reads.")
@click.option("--scripts", is_flag=True, help="List the scripts and exit.")
def command(  # noqa: PLR0913 - one for each option
    *,
    port: int,
    seed: int | None,
    count: int,
    duration: Distribution | None,
    outcome: Weights,
    throttle: bool,
    scripts: bool,
) -> int:
    """Run a simulated ARM.

    Prints the settings of an app that uses it, ready for a shell, and serves until SIGTERM or
    Ctrl-C.
    """
    if scripts:
        click.echo("\n".join(sorted(SCRIPTS)))
        return EXIT_SUCCESS
    serving = serve(
        port=port, seed=seed, count=count, duration=duration, outcome=outcome, throttle=throttle
    )
    try:
        asyncio.run(serving)
    except PortError as error:
        print_error(str(error))
        return EXIT_USAGE
    return EXIT_SUCCESS
