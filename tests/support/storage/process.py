"""The stand-in in a process apart, so that its memory and CPU are not counted as ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import aiohttp

from tests.support.processes import running_program
from tests.support.storage import connection_string


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInProcess:
    connection_string: str
    pid: int
    clock_url: str
    session: aiohttp.ClientSession

    async def jump(self, until: datetime) -> datetime:
        url = f"{self.clock_url}?until={quote(until.isoformat())}"
        async with self.session.post(url) as response:
            return datetime.fromisoformat(await response.text())


@asynccontextmanager
async def stand_in_process(simulated_from: datetime | None = None) -> AsyncIterator[StandInProcess]:
    """Yield a stand-in in another process: in simulated time, if its beginning is given."""
    arguments = [] if simulated_from is None else [simulated_from.isoformat()]
    async with (
        running_program("tests.support.storage", *arguments) as (pid, (queues, tables, clock)),
        aiohttp.ClientSession() as session,
    ):
        yield StandInProcess(
            connection_string=connection_string(queues, tables),
            pid=pid,
            clock_url=f"http://127.0.0.1:{clock}/clock",
            session=session,
        )
