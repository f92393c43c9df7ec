"""The storm: disasters at random instants, one victim beside the other, until its time is over."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from tests.chaos.luck import luck
from tests.chaos.receivers import Receiver
from tests.chaos.victims import App, Fleet, Storage

Disaster = Callable[[Random], Awaitable[str]]  # tells what it was, once it is over

# Seconds from one disaster's end to the next one's beginning, on average.
_APP_PEACE, _STORAGE_PEACE, _RECEIVER_PEACE = 7.0, 12.0, 20.0
_LONGEST_APP_PAUSE = 40.0  # well past the lease: another has taken over meanwhile
_LONGEST_OUTAGE = 8.0


async def storm(
    seed: int, seconds: float, fleet: Fleet, storage: Storage, receivers: list[Receiver]
) -> Counter[str]:
    """Rage for about `seconds`; return how often each disaster struck.

    A seed gives each victim the same disasters after the same spells of peace; what they hit is
    left to the machine.
    """
    ends_at = asyncio.get_running_loop().time() + seconds
    struck: Counter[str] = Counter()
    raging = [
        *((_APP_PEACE, _app_disaster(app)) for app in fleet.apps),
        (_STORAGE_PEACE, _storage_disaster(storage)),
        *((_RECEIVER_PEACE, _receiver_disaster(receiver)) for receiver in receivers),
    ]
    async with asyncio.TaskGroup() as victims:
        for number, (peace, disaster) in enumerate(raging):
            rng = luck(seed, f"victim {number}")
            victims.create_task(_torment(disaster, peace, rng, ends_at, struck))
    return struck


async def _torment(
    disaster: Disaster, peace: float, rng: Random, ends_at: float, struck: Counter[str]
) -> None:
    now = asyncio.get_running_loop().time
    while (starts_at := now() + rng.expovariate(1 / peace)) < ends_at:
        await asyncio.sleep(starts_at - now())
        struck[await disaster(rng)] += 1


def _app_disaster(app: App) -> Disaster:
    async def strike(rng: Random) -> str:
        (kind,) = rng.choices(("killed", "paused", "drained"), (5, 3, 2))
        match kind:
            case "killed":
                await app.kill()
                await asyncio.sleep(rng.uniform(0, 2))
                await app.start()
            case "paused":
                app.pause()
                await asyncio.sleep(1 + rng.random() ** 2 * _LONGEST_APP_PAUSE)
                app.resume()
            case _:
                await app.drain()
                await app.start()
        return f"apps {kind}"

    return strike


def _storage_disaster(storage: Storage) -> Disaster:
    async def strike(rng: Random) -> str:
        seconds = rng.uniform(1, _LONGEST_OUTAGE)
        if rng.random() < 0.5:
            storage.pause()
            await asyncio.sleep(seconds)
            storage.resume()
            return "storage paused"
        await storage.stop()
        await asyncio.sleep(seconds)
        await storage.start()
        return "storage stopped"

    return strike


def _receiver_disaster(receiver: Receiver) -> Disaster:
    async def strike(rng: Random) -> str:
        async with receiver.closed():
            await asyncio.sleep(rng.uniform(1, _LONGEST_OUTAGE))
        return "receivers closed"

    return strike
