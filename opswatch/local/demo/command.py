"""`opswatch demo`: posts operations of every kind, shows them live, and checks every outcome."""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack

from azure.storage.queue.aio import QueueClient
from rich.console import Console
from rich.live import Live
from rich.table import Table

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.core.errors import OpswatchError
from opswatch.local.azurite import running_azurite
from opswatch.local.demo.app import running_app
from opswatch.local.demo.cases import LOCATION, SUBSCRIPTION, Case, accepted, rejected
from opswatch.local.demo.progress import Books, Seen
from opswatch.local.demo.receiver import Receiver
from opswatch.local.simulator import Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE

_PATIENCE = 100.0  # seconds until what is still open counts as wrong
_SEED = 2024
_WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch demo` to `parser`."""
    parser.add_argument("--keep", action="store_true", help="stay up afterwards, until Ctrl-C")


def command(options: argparse.Namespace) -> int:
    """Run the demo; return 0 if everything came out as it must."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return asyncio.run(_demo(_console(), is_kept=options.keep))
    except KeyboardInterrupt:
        return 130
    except OpswatchError as error:
        print(error, file=sys.stderr)
        return 1


def _console() -> Console:
    """Return a console wide enough for the table, also where the output is no terminal."""
    console = Console()
    return console if console.width >= _WIDTH else Console(width=_WIDTH)


async def _demo(console: Console, *, is_kept: bool) -> int:
    async with AsyncExitStack() as stack:
        console.print("Starting Azurite, a simulated ARM, a receiver and the app …")
        azurite = stack.enter_context(running_azurite())
        simulator = await stack.enter_async_context(Simulator(seed=_SEED))
        receiver = await stack.enter_async_context(Receiver())
        env = _environment(azurite.connection_string, simulator, receiver)
        app_url = await stack.enter_async_context(running_app(env))
        account = Account(Storage.from_env(env))
        stack.push_async_callback(account.close)

        cases = [*accepted(simulator, receiver.url), *rejected()]
        await _post(account.queue(OPERATIONS_QUEUE), cases)
        seen = await _watch(console, cases, Books(account, receiver))
        code = _verdict(console, cases, seen, receiver)
        if is_kept:
            await _stay(console, app_url, env)
    return code


def _environment(connection: str, simulator: Simulator, receiver: Receiver) -> dict[str, str]:
    """Return the app's settings: everything on loopback, and everything a little hurried."""
    kept = {name: "" for name in os.environ if name.startswith("OPSWATCH_")}
    return kept | {
        **simulator.environment,
        "AzureWebJobsStorage": connection,
        "OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION,
        "OPSWATCH_LOCATION": LOCATION,
        **receiver.environment,
        "OPSWATCH_CALLBACK_SCHEDULE": "0,1,2,4",
        "OPSWATCH_POLL_MAX": "PT4S",
        "OPSWATCH_MISS_GRACE": "PT12S",
    }


async def _post(queue: QueueClient, cases: list[Case]) -> None:
    """Post each message as a user does; the app has made the queue at its start."""
    for case in cases:
        await queue.send_message(case.body.decode(), time_to_live=-1)


async def _watch(console: Console, cases: list[Case], books: Books) -> list[Seen]:
    """Show the cases live until each is settled, or patience ends."""
    give_up_at = asyncio.get_running_loop().time() + _PATIENCE
    seen = await books.read(cases)
    with Live(_table(cases, seen), console=console, refresh_per_second=4) as live:
        while not all(case.is_settled for case in seen):
            if asyncio.get_running_loop().time() > give_up_at:
                break
            await asyncio.sleep(0.5)
            seen = await books.read(cases)
            live.update(_table(cases, seen))
    return seen


def _table(cases: list[Case], seen: list[Seen]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold underline")
    for heading in ("operation", "posted as", "status", "polls", "error", "callback", "POSTs", ""):
        is_number = heading in ("polls", "POSTs")
        table.add_column(heading, no_wrap=True, justify="right" if is_number else "left")
    for case, now in zip(cases, seen, strict=True):
        polls, posts = (str(number or "") for number in (now.polls, now.posts))
        table.add_row(
            case.name, case.form, now.status, polls, now.code, now.callback, posts, _mark(now)
        )
    return table


def _mark(seen: Seen) -> str:
    if not seen.is_settled:
        return "[dim]…[/]"
    return "[green]✓[/]" if seen.is_right else "[red]✗[/]"


def _verdict(console: Console, cases: list[Case], seen: list[Seen], receiver: Receiver) -> int:
    """Say what came of it; only what is settled and right, and signed throughout, is a success."""
    right = sum(now.is_settled and now.is_right for now in seen)
    forged = sum(received.event is None for received in receiver.received)
    console.print()
    console.print(
        f"{right} of {len(cases)} messages came out as they must; "
        f"{len(receiver.received)} POSTs, {forged} of them with a signature that does not hold.",
        soft_wrap=True,
    )
    return 0 if right == len(cases) and not forged else 1


async def _stay(console: Console, app_url: str, env: dict[str, str]) -> None:
    console.print(f"The app stays up at {app_url} until Ctrl-C. To post to it:")
    console.print(f"  export AzureWebJobsStorage='{env['AzureWebJobsStorage']}'", soft_wrap=True)
    await asyncio.Event().wait()
