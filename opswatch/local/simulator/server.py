"""The simulator over HTTP: sockets, slow and broken connections, and the log of requests."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from opswatch.local.ports import LOOPBACK, listen_on
from opswatch.local.simulator.arm import Arm
from opswatch.local.simulator.control import PREFIX, Control, LoggedRequest
from opswatch.local.simulator.http import Request, Response
from opswatch.local.simulator.identity import Identity, TokenStatus
from opswatch.local.simulator.operations import Operation, Operations, StartedOperation
from opswatch.local.simulator.resources import Resources
from opswatch.local.simulator.scenario import Scenario
from opswatch.local.simulator.scripts import find_script
from opswatch.local.simulator.throttle import Buckets, Limit

IDENTITY_PATH = "/msi/token"
_KEPT_REQUESTS = 100_000  # a signed URL is several KB


class Simulator:
    """ARM and a managed identity on one loopback port.

    `async with Simulator() as arm:` serves until the block ends. Operations and tokens age by
    `clock`, slow responses wait with `sleep`, and a PUT or DELETE of a resource without the tag
    `simulator` starts an operation of `default_scenario`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        limit: Limit | None = None,
        default_scenario: Callable[[], Scenario] = Scenario,
    ) -> None:
        self._port = port
        self._clock = clock
        self._sleep = sleep
        self.rng = Random(seed)
        self.requests: deque[LoggedRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.identity = Identity(clock)
        self._operations = Operations(clock=clock, rng=self.rng)
        self._arm = Arm(
            clock=clock,
            identity=self.identity,
            operations=self._operations,
            resources=Resources(
                clock=clock, operations=self._operations, default_scenario=default_scenario
            ),
            buckets=Buckets(limit),
        )
        self._control = Control(
            clock=clock, rng=self.rng, operations=self._operations, requests=self.requests
        )
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen; raise `PortError`."""
        listener = listen_on(self._port)
        self._port = listener.getsockname()[1]
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1
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
        return f"http://{LOOPBACK}:{self._port}"

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
        """Environment variables with which a process uses this simulator as ARM."""
        return {
            "OPSWATCH_ARM_ENDPOINT": self.endpoint,
            "IDENTITY_ENDPOINT": self.identity_endpoint,
            "IDENTITY_HEADER": self.identity_header,
        }

    def start(
        self,
        scenario: Scenario | str = "succeeded",
        *,
        operation_id: str | None = None,
        place: Mapping[str, str] | None = None,
    ) -> StartedOperation:
        """Start an operation of a scenario or of a named script; raise `ValueError`.

        `place` fills its path: `subscription`, `provider`, `location`, `group`.
        """
        chosen = find_script(scenario) if isinstance(scenario, str) else scenario
        url = self._operations.start(chosen, operation_id=operation_id, place=place)
        return url.started(self.endpoint)

    def operation(self, operation_id: str) -> Operation:
        """Return an operation and the record of its polls; raise `KeyError`."""
        found = self._operations.get(operation_id)
        if found is None:
            raise KeyError(operation_id)
        return found

    def operations(self) -> list[Operation]:
        """Return all operations, oldest first."""
        return self._operations.all()

    def respond(self, request: Request) -> Response:
        """Answer a request without a socket, and log it."""
        token: TokenStatus | None = None
        operation: Operation | None = None
        if request.path.startswith(PREFIX):
            return self._control.respond(request)
        if request.path == IDENTITY_PATH:
            response = self.identity.respond(request)
        else:
            answer = self._arm.respond(request)
            response, token, operation = answer.response, answer.token, answer.operation
        self.requests.append(
            LoggedRequest(
                at=self._clock(),
                method=request.method,
                path=request.path,
                query=request.query,
                status=response.status,
                token=token,
                operation_id=operation.id if operation else None,
            )
        )
        return response

    async def _serve(self, received: web.Request) -> web.StreamResponse:
        try:
            body = await received.read() if received.can_read_body else b""
        except ConnectionError:  # the client has gone in the middle of its body
            return web.Response(status=400)
        request = Request(
            method=received.method,
            target=received.raw_path,
            headers={name.lower(): value for name, value in received.headers.items()},
            body=body,
        )
        response = self.respond(request)
        status, headers, body = response.status, response.headers, response.body
        if response.delay:
            await self._sleep(response.delay.total_seconds())
        if not response.cut_off:
            return web.Response(status=status, headers=headers, body=body or None)
        # Announce the whole body, send half of it, and close the connection.
        stream = web.StreamResponse(status=status, headers=headers)
        stream.content_length = len(body) + 1
        await stream.prepare(received)
        await stream.write(body[: len(body) // 2])
        if received.transport:
            received.transport.close()
        return stream
