"""`opswatch tail`: follows operations as they change."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

import click

from opswatch.bootstrap import open_services
from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS
from opswatch.cli.operations import OPERATION_HELP, find_operation, read_key
from opswatch.cli.terminal import environment, run_async
from opswatch.cli.texts import change_text, short_instant
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus, Result
from opswatch.ports import Query, Services
from opswatch.queries import OperationFilter, iter_operations

_OVERLAP = timedelta(seconds=30)  # clocks differ, and a row becomes visible after its timestamp


@click.command(epilog=OPERATION_HELP)
@click.argument("operation", required=False)
@click.option(
    "--every",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="The pause between two looks.",
)
@run_async
async def command(operation: str | None, every: float) -> int:
    """Follow operations as they change.

    Without an OPERATION, all are followed until Ctrl-C. With one, it is followed until it has
    ended: the exit code is 0 if it succeeded, and 1 if not.
    """
    async with open_services(environment()) as services:
        changes = _ChangePrinter(services.clock)
        if operation is None:
            await _follow_all(services, changes, every)
        key = read_key(operation, services.intake, services.clock())
        while True:
            view = await find_operation(services, key)
            changes.add(key, change_text(view.live) if view else "not known yet")
            if view and isinstance(view.live, Result):
                is_success = view.live.end.status is FinalStatus.SUCCEEDED
                return EXIT_SUCCESS if is_success else EXIT_FAILURE
            await asyncio.sleep(every)


class _ChangePrinter:
    """Prints each change of an operation once."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._printed: dict[Key, str] = {}

    def add(self, key: Key, text: str) -> None:
        """Print a line, unless the last one about `key` has the same text."""
        if self._printed.get(key) != text:
            self._printed[key] = text
            click.echo(f"{short_instant(self._clock())}  {text:<12}  {key}")


async def _follow_all(services: Services, changes: _ChangePrinter, every: float) -> NoReturn:
    """Follow all watches, and the operations that are registered from now on.

    The latter may begin and end between two looks at the watches: the timeline has them.
    """
    store = services.store
    watched: set[Key] = set()
    since = services.clock()
    while True:
        now = services.clock()
        watches = {row.value.key: row.value async for row in store.watches.find(Query())}
        for key, watch in watches.items():
            changes.add(key, change_text(watch))
        entries = iter_operations(store, OperationFilter(since=since), now)
        registered = {entry.operation async for entry in entries}
        for key in (watched | registered) - watches.keys():
            if result := await store.results.get(key):
                changes.add(key, change_text(result.value))
        watched, since = set(watches), now - _OVERLAP
        await asyncio.sleep(every)
