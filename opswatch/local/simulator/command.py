"""`opswatch simulate`: the simulator in a terminal."""

import argparse
import asyncio
import signal
from collections.abc import Callable
from random import Random
from typing import TypeVar

from opswatch.local.simulator.durations import Distribution, parse_distribution
from opswatch.local.simulator.scenario import Scenario
from opswatch.local.simulator.scripts import SCRIPTS, find_script
from opswatch.local.simulator.server import Simulator
from opswatch.local.simulator.throttle import Limit

T = TypeVar("T")
Weights = dict[str, float]  # by script


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch simulate` to `parser`."""
    parser.add_argument("--port", type=int, default=7072, help="port to listen on; 0: a free one")
    parser.add_argument("--seed", type=int, help="makes ids and random choices repeatable")
    parser.add_argument(
        "--count", type=int, default=0, help="number of operations to start immediately"
    )
    parser.add_argument(
        "--duration",
        type=_argument_type(parse_distribution),
        metavar="DURATION",
        help="duration of operations: seconds, PT5M, never, uniform:LEAST:MOST, exponential:MEAN, "
        "lognormal:MEDIAN:SIGMA (default: the script's duration)",
    )
    parser.add_argument(
        "--outcome",
        type=_argument_type(parse_outcomes),
        default={"succeeded": 1.0},
        metavar="SCRIPT[=WEIGHT],…",
        help="scripts to choose from, by weight: succeeded=8,failed=1 (--scripts lists them)",
    )
    parser.add_argument(
        "--throttle", action="store_true", help="enforce ARM's documented limit on reads"
    )
    parser.add_argument("--scripts", action="store_true", help="list the scripts and exit")


def command(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    if arguments.scripts:
        print("\n".join(sorted(SCRIPTS)))
        return 0
    return asyncio.run(serve(arguments))


async def serve(arguments: argparse.Namespace) -> int:
    """Start the operations, print their URLs, and serve until a signal."""
    rng = Random(arguments.seed)

    def draw() -> Scenario:
        return draw_scenario(arguments.outcome, arguments.duration, rng)

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Simulator(
        port=arguments.port,
        seed=arguments.seed,
        limit=Limit() if arguments.throttle else None,
        default_scenario=draw,
    ) as arm:
        started = [arm.start(draw()) for _ in range(arguments.count)]
        lines = [
            f"# Simulated ARM: {arm.endpoint}. Set in the environment of the app:",
            *(f"export {name}={value}" for name, value in arm.environment.items()),
            *(operation.url for operation in started),
        ]
        print("\n".join(lines), flush=True)
        await stopped.wait()
    return 0


def parse_outcomes(text: str) -> Weights:
    """Read `failed` or `succeeded=8,failed=1`; raise `ValueError`."""
    weights: Weights = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        find_script(name)
        weights[name] = float(weight or 1)
    if min(weights.values()) < 0 or not sum(weights.values()) > 0:
        raise ValueError("weights must not be negative, and at least one must be greater than 0")
    return weights


def draw_scenario(weights: Weights, duration: Distribution | None, rng: Random) -> Scenario:
    """Draw a script by weight, then a duration."""
    (name,) = rng.choices(list(weights), weights=list(weights.values()))
    scenario = find_script(name)
    return scenario.with_duration(duration(rng)) if duration else scenario


def _argument_type(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse` with errors whose message argparse prints."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked
