"""Two queue triggers that can take each other's place: Microsoft's listener and the local host's.

Both hand each message to a function of the test as an `Arrival`. Microsoft's listener
(Microsoft.Azure.WebJobs.Extensions.Storage.Queues, the code in the Functions host) is a program
that posts each message to a URL; 2xx is success.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from aiohttp import web

from opswatch.config import STORAGE
from opswatch.local.host.connections import Connections
from opswatch.local.host.leases import Lease
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import HostSettings
from opswatch.local.host.shutdown import Shutdown
from tests.support.trigger import ROOT

PROGRAM = Path(
    os.environ.get("QUEUE_LISTENER") or ROOT.parent / "shared" / "tools" / "queue-listener"
)
IS_ABSENT = not PROGRAM.is_file()
ABSENT = f"Microsoft's queue listener is absent: {PROGRAM} (or set QUEUE_LISTENER)"
_TIMES = {
    "InsertionTime": "x-insertion-time",
    "ExpirationTime": "x-expiration-time",
    "NextVisibleTime": "x-next-visible-time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message as a trigger hands it to its function."""

    queue: str
    text: str
    message_id: str
    pop_receipt: str
    dequeue_count: int
    times: Mapping[str, datetime | None]
    at: float  # of time.monotonic


Function = Callable[[Arrival], Awaitable[bool]]  # whether it succeeded


class Running(Protocol):
    """A trigger that runs."""

    async def drain(self) -> None:
        """Receive no more, and return after the running functions have ended."""


class StartPump(Protocol):
    """Starts a trigger on `queues` under the settings of a host.json, and drains it at the end."""

    def __call__(
        self, connection: str, host_json: Mapping[str, Any], function: Function, *queues: str
    ) -> AbstractAsyncContextManager[Running]: ...


class ListenerProcess:
    """Microsoft's listener in a process."""

    def __init__(self, process: asyncio.subprocess.Process, queues: tuple[str, ...]) -> None:
        self._process, self._queues = process, queues

    async def started(self) -> None:
        """Return when it runs."""
        assert "started" in await self._report()

    async def targets(self) -> dict[str, int]:
        """Return the instances that its scaler asks for next, by queue; needs `scale`."""
        targets: dict[str, int] = {}
        while len(targets) < len(self._queues):
            report = await self._report()
            assert "scale" in report, report
            number = int(report["scale"].removeprefix("Queue").removesuffix(".Run"))
            targets[self._queues[number]] = report["target"]
        return targets

    async def drain(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        assert self._process.stdout
        await self._process.stdout.read()  # the pipe must not fill
        assert await self._process.wait() == 0

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def _report(self) -> dict[str, Any]:
        assert self._process.stdout
        line = await self._process.stdout.readline()
        assert line, "the listener has ended"
        report: dict[str, Any] = json.loads(line)
        return report


@asynccontextmanager
async def listener_process(
    connection: str,
    host_json: Mapping[str, Any],
    urls: Mapping[str, str],
    *,
    scale: float | None = None,
) -> AsyncIterator[ListenerProcess]:
    """Yield Microsoft's listener, which posts the messages of each queue to its URL.

    It prints what the scaler asks for every `scale` seconds. At the end it is killed.
    """
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(host_json, file)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "--host-json", file.name),
            *(() if scale is None else ("--scale", str(scale))),
            *(f"{queue}={url}" for queue, url in urls.items()),
            env={**os.environ, STORAGE: connection},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=sys.stderr,
        )
        listener = ListenerProcess(process, tuple(urls))
        try:
            await listener.started()
            yield listener
        finally:
            await listener.kill()


@asynccontextmanager
async def listener_pump(
    connection: str, host_json: Mapping[str, Any], function: Function, *queues: str
) -> AsyncIterator[Running]:
    """A `StartPump` with Microsoft's listener, and a server that takes its posts."""

    async def take(request: web.Request) -> web.Response:
        arrival = Arrival(
            queue=request.match_info["queue"],
            text=(await request.read()).decode(),
            message_id=request.headers["x-message-id"],
            pop_receipt=request.headers["x-pop-receipt"],
            dequeue_count=int(request.headers["x-dequeue-count"]),
            times={
                name: datetime.fromisoformat(request.headers[header])
                for name, header in _TIMES.items()
            },
            at=time.monotonic(),
        )
        return web.Response(status=200 if await function(arrival) else 500)

    app = web.Application()
    app.router.add_post("/{queue}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        urls = {queue: f"{url}/{queue}" for queue in queues}
        async with listener_process(connection, host_json, urls) as listener:
            yield listener
            await listener.drain()
    finally:
        await runner.cleanup()


class LocalPump:
    """The local host's listeners, one for each queue."""

    def __init__(self, shutdown: Shutdown, running: asyncio.Future[Any]) -> None:
        self._shutdown, self._running = shutdown, running

    async def drain(self) -> None:
        self._shutdown.set()
        await self._running


@asynccontextmanager
async def local_pump(
    connection: str, host_json: Mapping[str, Any], function: Function, *queues: str
) -> AsyncIterator[Running]:
    """A `StartPump` with the listeners of `opswatch dev`."""
    settings = HostSettings.parse(host_json, {}).queues
    shutdown = Shutdown()
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(Connections({STORAGE: connection}))

        def listener(queue: str) -> QueueListener:
            async def run(lease: Lease, body: str) -> bool:
                return await function(
                    Arrival(
                        queue=queue,
                        text=body,
                        message_id=lease.message_id,
                        pop_receipt=lease.pop_receipt,
                        dequeue_count=lease.dequeue_count,
                        times=lease.times,
                        at=time.monotonic(),
                    )
                )

            return QueueListener(connections.queue(queue, STORAGE), settings, run, shutdown)

        running = asyncio.gather(*(listener(queue).run() for queue in queues))
        pump = LocalPump(shutdown, running)
        try:
            yield pump
            await pump.drain()
        finally:
            if running.cancel():
                with suppress(asyncio.CancelledError):
                    await running
