"""CPU of a poll: opswatch beside the SDK's pollers, which keep everything in memory.

Each poller runs in one process and polls `--operations` operations once a second; measured is its
CPU time, user and system, over `--seconds`, divided by the polls that ARM saw. ARM and the storage
are other processes. The pollers alternate, round after round; printed are medians, and the ratio of
their cost to that of opswatch.

    python -m benchmarks.polls --operations 300 --rounds 5
"""

import argparse
import asyncio
import json
import os
import sys
import time
from statistics import median

import aiohttp

from benchmarks.polls.arm import COUNT_PATH
from benchmarks.polls.ours import opswatch
from benchmarks.polls.sdk import async_lro_poller, lean_async_lro_poller, lro_poller
from tests.support.processes import running_program
from tests.support.storage.process import stand_in_process

OURS = "opswatch"
POLLERS = {
    "LROPoller": lro_poller,
    "AsyncLROPoller": async_lro_poller,
    "AsyncLROPoller, lean": lean_async_lro_poller,
    OURS: opswatch,
}
_WARM_UP = 2.0  # seconds, after each operation was polled about twice


async def measure(name: str, operations: int, seconds: float) -> tuple[int, float]:
    """Run a poller in another process; return its polls, and its CPU seconds."""
    arm_process = running_program("benchmarks.polls.arm")
    async with arm_process as (_, (port,)), stand_in_process() as storage:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.polls", "--operations", str(operations)),
            *("--seconds", str(seconds), "--only", name),
            *(f"http://127.0.0.1:{port}", storage.connection_string),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    polls, cpu = json.loads(output)
    return polls, cpu


async def poll_here(
    name: str, operations: int, seconds: float, arm: str, storage: str
) -> tuple[int, float]:
    """Poll in this process; return how many polls ARM saw after the warm-up, and our CPU."""
    polling = asyncio.ensure_future(POLLERS[name](arm, storage, operations))
    async with aiohttp.ClientSession() as session:

        async def polls() -> int:
            async with session.get(f"{arm}{COUNT_PATH}") as response:
                return int(await response.text())

        while await polls() < operations * 2:
            await asyncio.sleep(0.5)
        await asyncio.sleep(_WARM_UP)
        before, began = await polls(), time.process_time()
        await asyncio.wait({polling}, timeout=seconds)
        spent, after = time.process_time() - began, await polls()
    if polling.done():
        polling.result()
    return after - before, spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polls", description=__doc__)
    parser.add_argument("--operations", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        name, arm, storage = asked.only
        run = poll_here(name, asked.operations, asked.seconds, arm, storage)
        print(json.dumps(asyncio.run(run)), flush=True)
        os._exit(0)  # threads that never end
    _compare(asked.operations, asked.seconds, asked.rounds)


def _compare(operations: int, seconds: float, rounds: int) -> None:
    costs: dict[str, list[float]] = {name: [] for name in POLLERS}
    rates: dict[str, list[float]] = {name: [] for name in POLLERS}
    for _ in range(rounds):
        for name in POLLERS:
            polls, cpu = asyncio.run(measure(name, operations, seconds))
            costs[name].append(cpu / polls * 1e6)
            rates[name].append(polls / seconds)
    ours = median(costs[OURS])
    for name, cost in costs.items():
        print(
            f"{name:22} {median(rates[name]):4.0f} polls/s  {median(cost):6.0f} us a poll  "
            f"{median(cost) / ours:5.2f}x of opswatch's"
        )


if __name__ == "__main__":
    main()
