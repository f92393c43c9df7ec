"""One run of one poller: its processes, the warm-up, and what is read at the end."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from benchmarks.many_watches.usage import usage
from benchmarks.polls.arm import BEGIN_PATH, FIGURES_PATH
from benchmarks.polls.figures import Figures
from benchmarks.polls.operations import Poller, Task
from benchmarks.polls.ours import empty_function, opswatch
from benchmarks.polls.queue_loop import sdk_loop
from benchmarks.polls.sdk import async_lro_poller, lean_async_lro_poller, lro_poller
from tests.support.processes import running_program
from tests.support.storage import connection_string

OURS, LRO, EMPTY = "opswatch", "lro", "empty_function"
POLLERS: Mapping[str, Poller] = {
    OURS: opswatch,
    "async_lro": async_lro_poller,
    "async_lro_lean": lean_async_lro_poller,
    LRO: lro_poller,
    "sdk_loop": sdk_loop,
}
_ALL = {**POLLERS, EMPTY: empty_function}
_WARM_UP = 3  # intervals; a poller that cannot keep the pace gets a half more
_KEEPS_PACE, _LATE = 0.97, 1.0  # of the polls that are due; seconds at the most, of 99 in 100


async def measure(name: str, operations: int, interval: int, seconds: float) -> Figures:
    """Run a poller in a process of its own, beside an ARM and a storage of its own."""
    async with (
        running_program("benchmarks.polls.arm", str(interval)) as (_, (arm,)),
        running_program("benchmarks.polls.storage") as (_, (queues, tables, questions)),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.polls", "--operations", str(operations)),
            *("--interval", str(interval), "--seconds", str(seconds), "--only", name),
            *(f"http://127.0.0.1:{arm}", connection_string(queues, tables)),
            f"http://127.0.0.1:{questions}/benchmark",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    return msgspec.json.decode(output, type=Figures)


async def measure_here(name: str, task: Task, seconds: float, questions: str) -> Figures:
    """Poll in this process: warm up, then measure for `seconds`."""
    resident = usage().resident
    polling = asyncio.ensure_future(_ALL[name](task))
    async with aiohttp.ClientSession() as session:

        async def ask(url: str) -> dict[str, Any]:
            async with session.get(url) as response:
                return dict(msgspec.json.decode(await response.read()))

        began = time.monotonic()
        if name == EMPTY:
            await asyncio.wait({polling}, timeout=task.interval)
        else:
            most, longest = _WARM_UP * task.operations, _WARM_UP * task.interval * 1.5
            while (await ask(task.arm + FIGURES_PATH))["polls"] < most:
                if polling.done() or time.monotonic() - began > longest:
                    break
                await asyncio.sleep(0.5)
        for url in (task.arm + BEGIN_PATH, f"{questions}/begin"):
            async with session.post(url):
                pass
        cpu, since = time.process_time(), time.monotonic()
        await asyncio.wait({polling}, timeout=seconds)
        cpu, spent = time.process_time() - cpu, time.monotonic() - since
        late = await ask(task.arm + FIGURES_PATH)
        stored = await ask(f"{questions}/figures")
    if polling.done():
        polling.result()
    polls = int(late.pop("polls"))
    return Figures(
        operations=task.operations,
        seconds=spent,
        polls=polls if name != EMPTY else stored["requests"]["delete message"],
        cpu=cpu,
        grown=usage().resident - resident,
        late=late,
        **stored,
    )


async def most_that_keep_pace(name: str, operations: int, interval: int) -> int:
    """Return how many operations a poller can follow, of fewer and fewer until it does."""
    while operations > 1:
        figures = await measure(name, operations, interval, interval)
        due = operations / interval * figures.seconds
        if figures.polls >= _KEEPS_PACE * due and figures.late["late_p99"] <= _LATE:
            return operations
        operations = operations * 2 // 3
    return operations
