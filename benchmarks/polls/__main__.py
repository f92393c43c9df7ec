"""CPU, requests, messages, lateness and memory of a poll: opswatch beside what users have.

    python -m benchmarks.polls --operations 3000 --interval 10 --seconds 20 --rounds 5

Each poller follows `--operations` operations whose ARM asks for a poll every `--interval` seconds:
so all are compared at one rate. Each runs in a process of its own, beside an ARM and a storage of
its own. After a warm-up of three intervals, its user and system time over `--seconds` is divided by
the polls that ARM saw. The pollers alternate, round after round. Printed are medians; the last line
is JSON.

- `opswatch`: messages are received and deleted by a stand-in for the Functions host, another
  process, which hands them over. Its requests to the storage count, but not its CPU: in Azure it is
  not Python. The cost of handing over is measured with an empty function.
- `async_lro`, `async_lro_lean`: azure-core's `AsyncLROPoller` as shipped, and told not to read the
  environment's settings at each request.
- `lro`: azure-core's `LROPoller`, a thread for each operation: as many as keep the pace.
- `sdk_loop`: a loop over the storage SDKs: receive, GET, send, write a row, delete.

Far waits, with opswatch alone:

    python -m benchmarks.polls --poller opswatch --operations 1000 --interval 60 --seconds 120
"""

import argparse
import asyncio
import os
import sys

import msgspec

from benchmarks.polls.figures import Figures, median_of, requests_by_kind, summary, table
from benchmarks.polls.operations import Task
from benchmarks.polls.runs import (
    EMPTY,
    LRO,
    OURS,
    POLLERS,
    Load,
    measure,
    measure_here,
    most_that_keep_pace,
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.polls",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--operations", type=int, default=3000)
    parser.add_argument("--interval", type=int, default=10, help="seconds")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--latency",
        type=float,
        nargs=2,
        default=(0.0, 0.0),
        metavar=("LEAST", "MOST"),
        help="seconds of ARM's answers; in Azure some 0.05 to 0.3",
    )
    parser.add_argument("--poller", action="append", choices=POLLERS, help="besides opswatch")
    parser.add_argument("--only", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        name, arm, storage, questions = asked.only
        task = Task(arm=arm, storage=storage, operations=asked.operations, interval=asked.interval)
        asyncio.run(_measure_and_exit(name, task, asked.seconds, questions))
    names = [name for name in POLLERS if name == OURS or name in (asked.poller or POLLERS)]
    load = Load(
        operations=asked.operations,
        interval=asked.interval,
        seconds=asked.seconds,
        latency=tuple(asked.latency),
    )
    _compare(names, load, asked.rounds)


async def _measure_and_exit(name: str, task: Task, seconds: float, questions: str) -> None:
    """Print the figures, and end what runs without another word: threads, too."""
    figures = await measure_here(name, task, seconds, questions)
    sys.stdout.buffer.write(msgspec.json.encode(figures))
    sys.stdout.flush()
    os._exit(0)


def _compare(names: list[str], load: Load, rounds: int) -> None:
    loads = dict.fromkeys(names, load)
    if LRO in names:
        loads[LRO] = asyncio.run(most_that_keep_pace(LRO, load))
        print(f"LROPoller keeps the pace with {loads[LRO].operations} threads", flush=True)
    measured: dict[str, list[Figures]] = {name: [] for name in names}
    empty = []
    for number in range(rounds):
        for name in names:
            figures = asyncio.run(measure(name, loads[name]))
            measured[name].append(figures)
            print(f"round {number + 1}: {name}: {figures.cpu_per_poll:.0f} us", flush=True)
        empty.append(asyncio.run(measure(EMPTY, load)))
    print(f"\n{load.operations} operations, polled every {load.interval} s, ", end="")
    print(f"ARM answers in {load.latency[0]} to {load.latency[1]} s; medians of {rounds} rounds")
    print(table(measured, OURS))
    print(f"\nopswatch's requests for a poll: {requests_by_kind(measured[OURS])}")
    print(f"earliest poll: {min(figures.late['earliest'] for figures in measured[OURS]):+.2f} s")
    cost = median_of(empty, "cpu_per_poll")
    print(f"handing a message over to an empty function takes {cost:.0f} us of CPU")
    print(summary(measured, OURS))


if __name__ == "__main__":
    main()
