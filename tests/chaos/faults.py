"""Faults at random instants, in each process and receiver independently of the others."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from tests.chaos.runner import seeded_rng
from tests.support.endpoints import Endpoint
from tests.support.processes import AppProcess, StorageProcess

Target = AppProcess | StorageProcess | Endpoint
# Seconds from the end of a fault to the beginning of the next, on average.
_GAPS = {AppProcess: 7.0, StorageProcess: 12.0, Endpoint: 20.0}
_LONGEST_APP_PAUSE = 40.0  # well past the lease: another app has taken over
_LONGEST_OUTAGE = 8.0


async def inject_faults(seed: int, seconds: float, targets: Sequence[Target]) -> Counter[str]:
    """Inject faults for about `seconds`; return how many of each kind.

    A seed gives each target the same faults after the same gaps; their effects depend on the
    machine.
    """
    now = asyncio.get_running_loop().time
    ends_at = now() + seconds
    injected: Counter[str] = Counter()

    async def repeat(target: Target, rng: Random) -> None:
        while (starts_at := now() + rng.expovariate(1 / _GAPS[type(target)])) < ends_at:
            await asyncio.sleep(starts_at - now())
            injected[await _inject_fault(target, rng)] += 1

    async with asyncio.TaskGroup() as injecting:
        for number, target in enumerate(targets):
            injecting.create_task(repeat(target, seeded_rng(seed, f"target {number}")))
    return injected


async def _inject_fault(target: Target, rng: Random) -> str:
    """Inject one fault; return its name when it is over."""
    match target:
        case AppProcess():
            return await _disturb_app(target, rng)
        case StorageProcess():
            seconds, is_pause = rng.uniform(1, _LONGEST_OUTAGE), rng.random() < 0.5
            if is_pause:
                target.pause()
            else:
                await target.stop()
            await asyncio.sleep(seconds)
            if is_pause:
                target.resume()
            else:
                await target.start()
            return "storage paused" if is_pause else "storage stopped"
        case Endpoint():
            target.close()
            await asyncio.sleep(rng.uniform(1, _LONGEST_OUTAGE))
            await target.open()
            return "receivers closed"


async def _disturb_app(app: AppProcess, rng: Random) -> str:
    (kind,) = rng.choices(("killed", "paused", "drained"), (5, 3, 2))
    if kind == "paused":
        app.pause()
        await asyncio.sleep(1 + rng.random() ** 2 * _LONGEST_APP_PAUSE)
        app.resume()
        return "apps paused"
    if kind == "killed":
        await app.kill()
        await asyncio.sleep(rng.uniform(0, 2))
    else:
        await app.drain()
    await app.start()
    return f"apps {kind}"
