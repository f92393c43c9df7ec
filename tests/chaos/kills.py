"""`python -m tests.chaos.kills`: deliveries under way, and their processes killed all the time.

Several `opswatch dev` over one Azurite; SIGKILL at instants from a seed, each time to one of those
that are up, which is then started anew. Receivers answer at once, late, with 500, or not at all,
and take an event no sooner than after a number of kills that is drawn for it: so there are
deliveries under way until the last kill. Then calm, and the books must balance.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from standardwebhooks.webhooks import Webhook

from benchmarks.house import owe_one
from opswatch.bootstrap import open_services
from opswatch.core.webhook import Secret
from opswatch.local.azurite import running_azurite
from opswatch.ports import Query, Services
from tests.chaos.conduct import Outcome, conduct
from tests.chaos.doors import MANNERS, Door, Manner
from tests.chaos.killbooks import KillBooks
from tests.chaos.luck import luck
from tests.chaos.victims import App, Fleet

_LOOK_EVERY = 1.0  # seconds
_PATIENCE = 300.0  # of calm; reconcile's grace and some of its rounds
_HOSTS = 10  # of each manner: one that fails too often is given pauses, and gets few POSTs then
_ATTEMPTS = 60  # more than any delivery gets


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What kind of a run it is; spans in seconds."""

    seed: int
    kills: int = 200
    deliveries: int = 300
    apps: int = 4
    gap: float = 1.2  # between kills, on average
    retry: int = 12  # between attempts
    lease: float = 10.0  # the Functions host's is ten minutes
    manners: tuple[Manner, ...] = MANNERS  # of the receivers


@dataclass(slots=True)
class Toll:
    """The kills so far."""

    at: list[float] = field(default_factory=list)  # of the monotonic clock
    landed: int = 0  # that cut off a POST under way, or more


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that takes part."""

    services: Services
    doors: list[Door]
    fleet: Fleet
    toll: Toll


async def run(options: Options, folder: Path) -> KillBooks:
    """Play one run; what the apps say goes to files in `folder`."""
    async with _scene(options, folder) as scene:
        for number in range(options.deliveries):
            await owe_one(scene.services, number, scene.doors[number % len(scene.doors)].url)
        await scene.fleet.up()
        await _kill(options, scene)
        await _calm(options, scene)
        for app in scene.fleet.apps:
            await app.drain()
        return await _books(options, scene)


@asynccontextmanager
async def _scene(options: Options, folder: Path) -> AsyncIterator[Scene]:
    secret = Secret(luck(options.seed, "secret").randbytes(32))
    toll = Toll()

    def is_open(operation_id: str) -> bool:
        after = luck(options.seed, operation_id).uniform(0, options.kills)
        return len(toll.at) >= after

    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        env = {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_CALLBACK_SECRETS": secret.text,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
            "OPSWATCH_CALLBACK_SCHEDULE": "0" + _ATTEMPTS * f",{options.retry}",
        }
        doors = [
            Door(manner, Webhook(secret.text), luck(options.seed, f"door {number}"), is_open)
            for number, manner in enumerate(options.manners * _HOSTS)
        ]
        for door in doors:
            await stack.enter_async_context(door)
        services = await stack.enter_async_context(open_services(env))
        logs = [folder / f"app-{number}.log" for number in range(options.apps)]
        fleet = Fleet([App(env, options.lease, log) for log in logs])
        await stack.enter_async_context(fleet)
        yield Scene(services=services, doors=doors, fleet=fleet, toll=toll)


async def _kill(options: Options, scene: Scene) -> None:
    """Kill one of those that are up, at one random instant after the other."""
    rng = luck(options.seed, "kills")
    while len(scene.toll.at) < options.kills:
        await asyncio.sleep(rng.uniform(0, 2 * options.gap))
        up = [app for app in scene.fleet.apps if app.is_up()]
        if not up:
            continue
        app, before = rng.choice(up), _cut_off(scene)
        await app.kill()
        scene.toll.at.append(time.monotonic())
        await app.start()
        scene.toll.landed += _cut_off(scene) > before


def _cut_off(scene: Scene) -> int:
    return sum(door.cut_off for door in scene.doors)


async def _calm(options: Options, scene: Scene) -> None:
    """Wait until the books balance, or patience ends."""
    give_up_at = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up_at and (await _books(options, scene)).problems():
        await asyncio.sleep(_LOOK_EVERY)


async def _books(options: Options, scene: Scene) -> KillBooks:
    store = scene.services.store
    waiting = await scene.services.deliveries.depth()
    poisoned = [await queue.depth() for queue in scene.services.poison]
    return KillBooks(
        deliveries=options.deliveries,
        knocks=[knock for door in scene.doors for knock in door.knocks],
        kills=scene.toll.at,
        landed=scene.toll.landed,
        owed=[row.value async for row in store.outbox.find(Query())],
        settled=[row.value async for row in store.deliveries.find(Query())],
        messages=waiting + sum(poisoned),
        own_ends=scene.fleet.own_ends,
    )


def main() -> int:
    """Play one run and tell; return the exit code."""
    options = _options()

    async def play(folder: Path) -> Outcome:
        books = await run(options, folder)
        return Outcome([books.figures()], books.problems())

    return conduct("kills", options.seed, play)


def _options() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--deliveries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    return Options(seed=asked.seed, kills=asked.kills, deliveries=asked.deliveries)


if __name__ == "__main__":
    sys.exit(main())
