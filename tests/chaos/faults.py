"""Faults at random instants, in each process and receiver independently of the others."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from tests.chaos.runner import seeded_rng
from tests.support.endpoints import Endpoint
from tests.support.processes import AppProcess, StorageProcess

Fault = Callable[[Random], Awaitable[str]]  # returns its name when it is over

# Seconds from the end of a fault to the beginning of the next, on average.
_APP_GAP, _STORAGE_GAP, _ENDPOINT_GAP = 7.0, 12.0, 20.0
_LONGEST_APP_PAUSE = 40.0  # well past the lease: another app has taken over
_LONGEST_OUTAGE = 8.0


async def inject_faults(
    seed: int,
    seconds: float,
    apps: list[AppProcess],
    storage: StorageProcess,
    endpoints: list[Endpoint],
) -> Counter[str]:
    """Inject faults for about `seconds`; return how many of each kind.

    A seed gives each target the same faults after the same gaps; their effects depend on the
    machine.
    """
    now = asyncio.get_running_loop().time
    ends_at = now() + seconds
    injected: Counter[str] = Counter()

    async def repeat(fault: Fault, gap: float, rng: Random) -> None:
        while (starts_at := now() + rng.expovariate(1 / gap)) < ends_at:
            await asyncio.sleep(starts_at - now())
            injected[await fault(rng)] += 1

    faults = [
        *((_app_fault(app), _APP_GAP) for app in apps),
        (_storage_fault(storage), _STORAGE_GAP),
        *((_endpoint_fault(endpoint), _ENDPOINT_GAP) for endpoint in endpoints),
    ]
    async with asyncio.TaskGroup() as targets:
        for number, (fault, gap) in enumerate(faults):
            targets.create_task(repeat(fault, gap, seeded_rng(seed, f"target {number}")))
    return injected


def _app_fault(app: AppProcess) -> Fault:
    async def inject(rng: Random) -> str:
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

    return inject


def _storage_fault(storage: StorageProcess) -> Fault:
    async def inject(rng: Random) -> str:
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

    return inject


def _endpoint_fault(endpoint: Endpoint) -> Fault:
    async def inject(rng: Random) -> str:
        endpoint.close()
        await asyncio.sleep(rng.uniform(1, _LONGEST_OUTAGE))
        await endpoint.open()
        return "receivers closed"

    return inject
