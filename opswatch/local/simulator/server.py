"""The simulator over HTTP: sockets, slow and broken connections, and the log of requests."""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from opswatch.local.simulator.arm import Arm, Seen
from opswatch.local.simulator.clock import utc_now
from opswatch.local.simulator.control import PREFIX, Control, SeenRequest
from opswatch.local.simulator.identity import Identity
from opswatch.local.simulator.life import Life
from opswatch.local.simulator.messages import Answer, Request
from opswatch.local.simulator.operations import Operation, Operations, StartedOperation
from opswatch.local.simulator.resources import Resources
from opswatch.local.simulator.scripts import find_script
from opswatch.local.simulator.throttle import Buckets, Limit

IDENTITY_PATH = "/msi/token"
_KEPT_REQUESTS = 100_000  # a signed URL is several KB
_HOST = "127.0.0.1"


class Simulator:
    """ARM and a managed identity on one loopback port.

    `async with Simulator() as arm:` serves until the block ends. `clock` decides how old
    operations and tokens are, `sleep` how slow answers are; `default_life` is that of operations
    which a PUT or DELETE of a resource starts.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        limit: Limit | None = None,
        default_life: Callable[[], Life] = Life,
    ) -> None:
        self._port = port
        self._clock = clock
        self._sleep = sleep
        self.rng = Random(seed)
        self.requests: deque[SeenRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.identity = Identity(clock)
        self._operations = Operations(clock=clock, rng=self.rng)
        self._arm = Arm(
            clock=clock,
            identity=self.identity,
            operations=self._operations,
            resources=Resources(
                clock=clock, operations=self._operations, default_life=default_life
            ),
            buckets=Buckets(limit),
        )
        self._control = Control(
            clock=clock, rng=self.rng, operations=self._operations, requests=self.requests
        )
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        listener = socket.create_server((_HOST, self._port), backlog=1024)
        self._port = listener.getsockname()[1]
        self._runner = web.AppRunner(
            self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner:
            await self._runner.cleanup()

    @property
    def endpoint(self) -> str:
        """Scheme, host and port, for `OPSWATCH_ARM_ENDPOINT`."""
        return f"http://{_HOST}:{self._port}"

    @property
    def identity_endpoint(self) -> str:
        """For `IDENTITY_ENDPOINT`."""
        return self.endpoint + IDENTITY_PATH

    @property
    def identity_header(self) -> str:
        """For `IDENTITY_HEADER`."""
        return self.identity.header

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to take this for ARM."""
        return {
            "OPSWATCH_ARM_ENDPOINT": self.endpoint,
            "IDENTITY_ENDPOINT": self.identity_endpoint,
            "IDENTITY_HEADER": self.identity_header,
        }

    def start(
        self,
        life: Life | str = "succeeded",
        *,
        operation_id: str | None = None,
        place: Mapping[str, str] | None = None,
    ) -> StartedOperation:
        """Start an operation: a life, or the name of one (`ValueError` where there is none).

        `place` fills its path: `subscription`, `provider`, `location`, `group`.
        """
        chosen = find_script(life) if isinstance(life, str) else life
        url = self._operations.start(chosen, operation_id=operation_id, place=place)
        return url.started(self.endpoint)

    def operation(self, operation_id: str) -> Operation:
        """Return an operation and its polls so far; raise `KeyError`."""
        found = self._operations.get(operation_id)
        if found is None:
            raise KeyError(operation_id)
        return found

    def operations(self) -> list[Operation]:
        """Return all operations, oldest first."""
        return self._operations.all()

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        answer = self.respond(await _read(http))
        if answer.delay:
            await self._sleep(answer.delay.total_seconds())
        return await _cut_off(http, answer) if answer.cut else _whole(answer)

    def respond(self, request: Request) -> Answer:
        """Answer a request, without a socket, and keep it in the log."""
        if request.path.startswith(PREFIX):
            return self._control.respond(request)
        if request.path == IDENTITY_PATH:
            answer = self.identity.respond(request)
            self._log(request, answer)
            return answer
        seen = self._arm.respond(request)
        self._log(request, seen.answer, seen)
        return seen.answer

    def _log(self, request: Request, answer: Answer, seen: Seen | None = None) -> None:
        operation = seen.operation if seen else None
        self.requests.append(
            SeenRequest(
                at=self._clock(),
                method=request.method,
                path=request.path,
                query=request.query,
                status=answer.status,
                token=seen.verdict if seen else None,
                operation_id=operation.id if operation else None,
            )
        )


async def _read(http: web.Request) -> Request:
    return Request(
        method=http.method,
        target=http.raw_path,
        headers={name.lower(): value for name, value in http.headers.items()},
        body=await http.read() if http.can_read_body else b"",
    )


def _whole(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body or None)


async def _cut_off(http: web.Request, answer: Answer) -> web.StreamResponse:
    """Promise the whole body, send half of it, and close the connection."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body) + 1
    await response.prepare(http)
    await response.write(answer.body[: len(answer.body) // 2])
    if http.transport:
        http.transport.close()
    return response
