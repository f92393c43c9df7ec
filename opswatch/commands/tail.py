"""`opswatch tail`: follows operations as they change."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from opswatch.bootstrap import open_services
from opswatch.commands.operations import key_of, newest_first, stand
from opswatch.commands.terminal import NOT_AS_WISHED, OK, add_operation, console, environment, run
from opswatch.commands.views import change_text, key_text, moment
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus, Result
from opswatch.ports import Query, Services

_OVERLAP = timedelta(seconds=30)  # clocks differ, and a row takes its time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch tail` to `parser`."""
    add_operation(parser, nargs="?")
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="SECONDS", help="how often to look; 1 s"
    )
    parser.epilog = (
        "Without an OPERATION, all are followed until Ctrl-C. With one, until it has ended: "
        "then the exit code is 0 if it succeeded, and 1 if not."
    )


def command(options: argparse.Namespace) -> int:
    """Follow one operation to its end, or all of them until somebody interrupts."""
    return run(_tail(options.operation, options.every))


async def _tail(operation: str | None, pause: float) -> int:
    async with open_services(environment()) as services:
        diary = _Diary(services)
        if operation is None:
            await _follow_all(services, diary, pause)
        key = key_of(operation or "", services.intake, services.clock())
        return await _follow(services, key, diary, pause)


class _Diary:
    """Says what has changed, once."""

    def __init__(self, services: Services) -> None:
        self._clock = services.clock
        self._said: dict[Key, str] = {}

    def note(self, key: Key, text: str) -> None:
        """Print a line, unless it says what was said last of `key`."""
        if self._said.get(key) != text:
            self._said[key] = text
            console().print(f"{moment(self._clock())}  {text:<12}  {key_text(key)}")


async def _follow(services: Services, key: Key, diary: _Diary, pause: float) -> int:
    """Follow one operation to its end; one that is not known may yet be taken in."""
    while True:
        standing = await stand(services, key)
        diary.note(key, change_text(standing.followed) if standing else "not known yet")
        if standing and isinstance(standing.followed, Result):
            is_success = standing.followed.end.status is FinalStatus.SUCCEEDED
            return OK if is_success else NOT_AS_WISHED
        await asyncio.sleep(pause)


async def _follow_all(services: Services, diary: _Diary, pause: float) -> None:
    """Follow what runs now and what is registered from now on, for ever."""
    live: set[Key] = set()
    since = services.clock()
    while True:
        now = services.clock()
        watches = {row.value.key: row.value async for row in services.store.watches.find(Query())}
        for key, watch in watches.items():
            diary.note(key, change_text(watch))
        gone = live.union([key async for key in _registered(services, since, now)]) - watches.keys()
        for key in gone:
            if result := await services.store.results.get(key):
                diary.note(key, change_text(result.value))
        live, since = set(watches), now - _OVERLAP
        await asyncio.sleep(pause)


async def _registered(services: Services, since: datetime, now: datetime) -> AsyncIterator[Key]:
    """Yield what was registered `since`: it may have ended between two looks at the watches."""
    async for line in newest_first(services, since, now):
        yield line.operation
