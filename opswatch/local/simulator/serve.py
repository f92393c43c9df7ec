"""Serves a simulated ARM until a signal, with operations drawn from scripts."""

from random import Random

from opswatch.local.signals import stop_event
from opswatch.local.simulator.durations import Distribution
from opswatch.local.simulator.scenario import Scenario
from opswatch.local.simulator.scripts import find_script
from opswatch.local.simulator.server import Simulator
from opswatch.local.simulator.throttle import Limit

Weights = dict[str, float]  # by script
# Besides the simulator's own: of an app that uses Azurite and calls receivers on this machine.
_LOCAL_SETTINGS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
}


async def serve(
    *,
    port: int,
    seed: int | None,
    count: int,
    duration: Distribution | None,
    outcome: Weights,
    throttle: bool,
) -> None:
    """Start `count` operations, print settings and URLs, and serve until SIGTERM or SIGINT.

    Raises `PortError`.
    """
    rng = Random(seed)

    def draw() -> Scenario:
        return draw_scenario(outcome, duration, rng)

    stopped = stop_event()
    async with Simulator(
        port=port,
        seed=seed,
        limit=Limit() if throttle else None,
        default_scenario=draw,
    ) as arm:
        started = [arm.start(draw()) for _ in range(count)]
        settings = {**_LOCAL_SETTINGS, **arm.environment}
        lines = [
            f"# Simulated ARM: {arm.endpoint}. Settings of an app on this machine, with Azurite:",
            *(f"export {name}={value}" for name, value in settings.items()),
            *(operation.url for operation in started),
        ]
        print("\n".join(lines), flush=True)
        await stopped.wait()


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
