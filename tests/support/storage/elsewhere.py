"""The stand-in in a process of its own, so that its memory and its CPU are not taken for ours."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import aiohttp

from benchmarks.programs import program
from tests.support.storage.clock import SimulatedClock, machine_clock
from tests.support.storage.http import Request, Response, serving
from tests.support.storage.server import connection_string, running_stand_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A stand-in that runs in another process."""

    connection_string: str
    pid: int
    clock_url: str
    session: aiohttp.ClientSession

    async def jump(self, until: datetime) -> datetime:
        """Move its simulated clock to the next visible message, at most to `until`; return that."""
        url = f"{self.clock_url}?until={quote(until.isoformat())}"
        async with self.session.post(url) as response:
            return datetime.fromisoformat(await response.text())


@asynccontextmanager
async def stand_in_elsewhere(simulated_from: datetime | None = None) -> AsyncIterator[Elsewhere]:
    """Yield a stand-in in a process of its own: in simulated time, if it is told from when on."""
    arguments = [] if simulated_from is None else [simulated_from.isoformat()]
    async with (
        program("tests.support.storage", *arguments) as (pid, (queues, tables, clock)),
        aiohttp.ClientSession() as session,
    ):
        yield Elsewhere(
            connection_string=connection_string(queues, tables),
            pid=pid,
            clock_url=f"http://127.0.0.1:{clock}/clock",
            session=session,
        )


async def serve(simulated_from: datetime | None) -> None:
    """Say on which ports queues, tables and the clock are, and serve until standard input ends."""
    clock = SimulatedClock(simulated_from) if simulated_from else machine_clock
    async with AsyncExitStack() as stack:
        stand_in = await stack.enter_async_context(running_stand_in(clock))

        def jump(request: Request) -> Response:
            now = stand_in.jump_now(datetime.fromisoformat(request.query["until"]))
            return Response(status=200, headers={}, body=now.isoformat().encode())

        port = await stack.enter_async_context(serving(jump))
        print(*stand_in.ports, port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
