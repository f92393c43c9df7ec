"""`opswatch simulate`: the simulator from a terminal."""

import argparse
import asyncio
import signal
from collections.abc import Callable
from random import Random
from typing import TypeVar

from opswatch.local.simulator.durations import Draw, parse_draw
from opswatch.local.simulator.life import Life
from opswatch.local.simulator.scripts import SCRIPTS, find_script, lasting
from opswatch.local.simulator.server import Simulator
from opswatch.local.simulator.throttle import Limit

T = TypeVar("T")
Outcomes = dict[str, float]  # script -> weight


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch simulate` to `parser`."""
    parser.add_argument("--port", type=int, default=7072, help="0 takes a free one")
    parser.add_argument("--seed", type=int, help="makes ids and random lives repeatable")
    parser.add_argument("--count", type=int, default=0, help="operations to start at once")
    parser.add_argument(
        "--duration",
        type=_checked(parse_draw),
        metavar="DURATION",
        help="how long they take: seconds, PT5M, never, uniform:LEAST:MOST, exponential:MEAN, "
        "lognormal:MEDIAN:SIGMA (the script's own where absent)",
    )
    parser.add_argument(
        "--outcome",
        type=_checked(parse_outcomes),
        default={"succeeded": 1.0},
        metavar="SCRIPT[=WEIGHT],…",
        help="named lives and how often each occurs: succeeded=8,failed=1 (--scripts lists them)",
    )
    parser.add_argument(
        "--throttle", action="store_true", help="enforce the documented limit on reads"
    )
    parser.add_argument("--scripts", action="store_true", help="list the named lives and stop")


def command(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    if arguments.scripts:
        print("\n".join(sorted(SCRIPTS)))
        return 0
    return asyncio.run(_serve(arguments))


def parse_outcomes(text: str) -> Outcomes:
    """Read `failed` or `succeeded=8,failed=1`; raise `ValueError`."""
    outcomes: Outcomes = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        find_script(name)
        outcomes[name] = float(weight or 1)
    if min(outcomes.values()) < 0 or not sum(outcomes.values()) > 0:
        raise ValueError("weights are not negative, and one is more than 0")
    return outcomes


def draw_life(outcomes: Outcomes, duration: Draw | None, rng: Random) -> Life:
    """Draw a life: its script by weight, then its duration."""
    (name,) = rng.choices(list(outcomes), weights=list(outcomes.values()))
    life = find_script(name)
    return lasting(life, duration(rng)) if duration else life


async def _serve(arguments: argparse.Namespace) -> int:
    rng = Random(arguments.seed)

    def draw() -> Life:
        return draw_life(arguments.outcome, arguments.duration, rng)

    simulator = Simulator(
        port=arguments.port,
        seed=arguments.seed,
        limit=Limit() if arguments.throttle else None,
        default_life=draw,
    )
    stopped = _stop_signal()
    async with simulator as arm:
        started = [arm.start(draw()) for _ in range(arguments.count)]
        print("\n".join(_banner(arm)), flush=True)
        if started:
            print("\n".join(operation.url for operation in started), flush=True)
        await stopped.wait()
    return 0


def _banner(arm: Simulator) -> list[str]:
    return [
        f"# ARM is simulated at {arm.endpoint}. In the environment of the app:",
        *(f"export {name}={value}" for name, value in arm.environment.items()),
    ]


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse` with errors that argparse shows whole."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked
