"""Runs the demo: starts every part, posts all cases, shows their progress, checks the outcomes."""

import asyncio
import os
from contextlib import AsyncExitStack

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
            f"\n{expected} of {len(cases)} messages had the expected outcome; "
            f"{len(receiver.received)} POSTs, {invalid} of them with an invalid signature.",
            soft_wrap=True,
        )
        if keep:
            console.print(f"The app is still running at {app_url}; stop it with Ctrl-C.")
            console.print("To post to it:")
            storage = env["AzureWebJobsStorage"]
            console.print(f"  export AzureWebJobsStorage='{storage}'", soft_wrap=True)
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


async def watch(console: Console, cases: list[Case], reader: ProgressReader) -> list[Progress]:
    """Show the cases live until each is settled, or until the timeout."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT
    progress = await reader.read(cases)
    with Live(progress_table(cases, progress), console=console, refresh_per_second=4) as live:
        while not all(current.is_settled for current in progress):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.5)
            progress = await reader.read(cases)
            live.update(progress_table(cases, progress))
    return progress


def progress_table(cases: list[Case], progress: list[Progress]) -> Table:
    """Return one row per case."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold underline")
    for column in _COLUMNS:
        is_number = column in ("polls", "POSTs")
        table.add_column(column, no_wrap=True, justify="right" if is_number else "left")
    for case, current in zip(cases, progress, strict=True):
        mark = "[green]✓[/]" if current.is_expected else "[red]✗[/]"
        table.add_row(
            case.name,
            case.form,
            current.status,
            str(current.polls or ""),
            current.error_code,
            current.callback,
            str(current.posts or ""),
            mark if current.is_settled else "[dim]…[/]",
        )
    return table
