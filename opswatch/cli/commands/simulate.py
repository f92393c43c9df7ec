"""`opswatch simulate`: declares the options of the simulator."""

from typing import Any

import click

from opswatch.cli.local_command import parsed_by, run_local
from opswatch.local.simulator import command as simulator
from opswatch.local.simulator.durations import parse_draw


@click.command()
@click.option("--port", type=int, default=7072, show_default=True, help="0 takes a free port.")
@click.option("--seed", type=int, help="Makes ids and random behaviour repeatable.")
@click.option(
    "--count", type=int, default=0, show_default=True, help="Operations to start at once."
)
@click.option(
    "--duration",
    type=parsed_by(parse_draw),
    metavar="DURATION",
    help="How long operations take: seconds, PT5M, never, uniform:LEAST:MOST, exponential:MEAN or "
    "lognormal:MEDIAN:SIGMA (default: as scripted).",
)
@click.option(
    "--outcome",
    type=parsed_by(simulator.parse_outcomes),
    default="succeeded",
    show_default=True,
    metavar="SCRIPT[=WEIGHT],…",
    help="Scripts, and how often each is chosen, e.g. succeeded=8,failed=1.",
)
@click.option("--throttle", is_flag=True, help="Enforce ARM's documented limit on reads.")
@click.option("--scripts", is_flag=True, help="List the scripts and exit.")
def command(**options: Any) -> int:
    """Run a simulated ARM.

    Prints the settings that lead the app to it, and serves until SIGTERM or Ctrl-C.
    """
    return run_local(simulator.command, options)
