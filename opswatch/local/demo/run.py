"""Runs the demo: starts every part, posts all cases, shows their progress, checks the outcomes."""

import asyncio
import os
import shlex
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from itertools import zip_longest

from rich.console import Console
from rich.live import Live
from rich.table import Table

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import running_azurite
from opswatch.local.demo.app import running_app
from opswatch.local.demo.cases import LOCATION, SUBSCRIPTION, Case, rejected_cases, start_cases
from opswatch.local.demo.progress import Progress, ProgressReader
from opswatch.local.demo.receiver import Receiver
from opswatch.local.simulator import Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE

_TIMEOUT = 100.0  # seconds, for all cases to settle
_SEED = 2024
_FULL_WIDTH = 120  # columns of the terminal; the compact table fits into 80 columns, 24 lines
_LINES_BESIDE = 4
_COLUMNS = ("operation", "posted as", "status", "polls", "error", "callback", "POSTs", "")


async def run_demo(console: Console, *, keep: bool) -> int:
    """Run the demo, and with `keep` leave the app up; return the exit code."""
    async with AsyncExitStack() as stack:
        console.print("Starting Azurite, a simulated ARM, a receiver and the app …")
        azurite = stack.enter_context(running_azurite())
        simulator = await stack.enter_async_context(Simulator(seed=_SEED))
        receiver = await stack.enter_async_context(Receiver())
        env = app_settings(azurite.connection_string, simulator, receiver)
        app_url = await stack.enter_async_context(running_app(env))
        account = Account(Storage.from_env(env))
        stack.push_async_callback(account.close)

        cases = [*start_cases(simulator, receiver.url), *rejected_cases()]
        queue = account.queue(OPERATIONS_QUEUE)  # created by the app when it started
        for case in cases:
            await queue.send_message(case.body.decode(), time_to_live=-1)
        progress = await watch(console, cases, ProgressReader(account, receiver))

        expected = sum(current.is_settled and current.is_expected for current in progress)
        invalid = sum(post.event is None for post in receiver.received)
        console.print(
            f"\n{expected} of {len(cases)} messages as expected; "
            f"{len(receiver.received)} POSTs, {invalid} with an invalid signature."
        )
        if keep:
            for line in kept_running(app_url, env, simulator, receiver):
                console.print(line, soft_wrap=True, highlight=False, markup=False)
            await asyncio.Event().wait()
    return 0 if expected == len(cases) and not invalid else 1


def app_settings(connection: str, simulator: Simulator, receiver: Receiver) -> dict[str, str]:
    """Return the app's settings: everything on loopback, with short intervals.

    They also clear every `OPSWATCH_` variable of this process, which the app would inherit.
    """
    cleared = {name: "" for name in os.environ if name.startswith("OPSWATCH_")}
    return cleared | {
        **simulator.environment,
        "AzureWebJobsStorage": connection,
        "OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION,
        "OPSWATCH_LOCATION": LOCATION,
        **receiver.environment,
        "OPSWATCH_CALLBACK_SCHEDULE": "0,1,2,4",
        "OPSWATCH_POLL_MAX": "PT4S",
        "OPSWATCH_MISS_GRACE": "PT12S",
    }


def kept_running(
    app_url: str, env: Mapping[str, str], simulator: Simulator, receiver: Receiver
) -> list[str]:
    """Return what a person needs to look at the app and to post another operation to it."""
    start = '{"script": "failed", "duration": "PT1M"}'
    return [
        "",
        "Running until Ctrl-C:",
        f"  page           {app_url}/api/dashboard",
        f"  simulated ARM  {simulator.endpoint}",
        f"  receiver       {receiver.url}/hook, and /flaky (accepts the third attempt), /gone",
        f"  its secret     {receiver.secret.text}",
        "",
        "To start an operation; its url can be posted on the page:",
        f"  curl -X PUT {simulator.endpoint}/simulator/operations -d {shlex.quote(start)}",
        "",
        "To post from another terminal:",
        *(f"  export {name}={shlex.quote(value)}" for name, value in env.items() if value),
        f"  .venv/bin/opswatch post URL --callback {receiver.url}/flaky",
    ]


async def watch(console: Console, cases: list[Case], reader: ProgressReader) -> list[Progress]:
    """Show the cases live until each is settled, or until the timeout."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT
    progress = await reader.read(cases)
    has_room = console.width >= _FULL_WIDTH and console.height > len(cases) + _LINES_BESIDE
    table = full_table if has_room else compact_table
    show = partial(table, is_plain=not console.encoding.startswith("utf"))
    with Live(show(cases, progress), console=console, refresh_per_second=4) as live:
        while not all(current.is_settled for current in progress):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.5)
            progress = await reader.read(cases)
            live.update(show(cases, progress))
    return progress


def full_table(cases: list[Case], progress: list[Progress], *, is_plain: bool = False) -> Table:
    """Return one row per case, with all that is known of it."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold underline")
    for column in _COLUMNS:
        is_number = column in ("polls", "POSTs")
        table.add_column(column, no_wrap=True, justify="right" if is_number else "left")
    for case, current in zip(cases, progress, strict=True):
        table.add_row(
            case.name,
            case.form,
            current.status,
            str(current.polls or ""),
            current.error_code,
            current.callback,
            str(current.posts or ""),
            _mark(current, is_plain=is_plain),
        )
    return table


def compact_table(cases: list[Case], progress: list[Progress], *, is_plain: bool = False) -> Table:
    """Return two cases per row, with the outcome of each."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold underline")
    for side in range(2):
        table.add_column("", width=1)
        table.add_column("operation", width=20, no_wrap=True)
        table.add_column("status", width=15 + side, no_wrap=True)
    cells = [
        (
            _mark(current, is_plain=is_plain),
            case.name if case.operation else case.form,
            current.status,
        )
        for case, current in zip(cases, progress, strict=True)
    ]
    half = (len(cells) + 1) // 2
    for left, right in zip_longest(cells[:half], cells[half:], fillvalue=("", "", "")):
        table.add_row(*left, *right)
    return table


def _mark(current: Progress, *, is_plain: bool) -> str:
    """Return the mark of a case, in ASCII if the output has no other characters."""
    if not current.is_settled:
        return "[dim]…[/]" if not is_plain else "[dim].[/]"
    good, bad = ("+", "x") if is_plain else ("✓", "✗")
    return f"[green]{good}[/]" if current.is_expected else f"[red]{bad}[/]"
