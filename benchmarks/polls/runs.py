"""One run of one poller: its processes, the warm-up, and what is read at the end."""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
_HANDLED = "delete message"
_KEEPS_PACE, _LATE = 0.97, 1.0  # of the polls that are due; seconds at the most, of 99 in 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of every poller."""

    operations: int
    interval: int  # seconds between two polls of an operation
    seconds: float  # of the measurement
    latency: tuple[float, float]  # seconds of ARM's answers, from and to


async def measure(name: str, load: Load) -> Figures:
    """Run a poller in a process of its own, beside an ARM and a storage of its own."""
    arguments = map(str, (load.interval, *load.latency))
    async with (
        running_program("benchmarks.polls.arm", *arguments) as (_, (arm,)),
        running_program("benchmarks.polls.storage") as (_, (queues, tables, questions)),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.polls", "--operations", str(load.operations)),
            *("--interval", str(load.interval), "--seconds", str(load.seconds), "--only", name),
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

        async def done() -> int:
            if name == EMPTY:
                stored = await ask(f"{questions}/figures")
                return int(stored["requests"].get(_HANDLED, 0))
            return int((await ask(task.arm + FIGURES_PATH))["polls"])

        while not await done() and not polling.done():
            await asyncio.sleep(0.1)
        most = _WARM_UP * task.operations if name != EMPTY else 1
        until = time.monotonic() + _WARM_UP * task.interval * 1.5
        while await done() < most and time.monotonic() < until and not polling.done():
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
        polls=polls if name != EMPTY else stored["requests"][_HANDLED],
        cpu=cpu,
        grown=usage().resident - resident,
        late=late,
        **stored,
    )


async def most_that_keep_pace(name: str, load: Load) -> Load:
    """Return the load with as many operations as a poller can follow: fewer, until it does."""
    while load.operations > 1:
        figures = await measure(name, replace(load, seconds=load.interval))
        due = load.operations / load.interval * figures.seconds
        if figures.polls >= _KEEPS_PACE * due and figures.late["late_p99"] <= _LATE:
            break
        load = replace(load, operations=load.operations * 2 // 3)
    return load
