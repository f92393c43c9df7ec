"""The HTTP trigger: a server on the loopback interface that turns requests into invocations."""

from collections.abc import Awaitable, Callable, Iterable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from azure.functions.meta import Datum
from multidict import CIMultiDict

from opswatch.core.errors import ConfigError
from opswatch.local.host.app import Function, HttpTrigger
from opswatch.local.host.bindings import Input, http_input
from opswatch.local.host.routes import RouteTable, compile_route

LOOPBACK = "127.0.0.1"
_LARGEST_BODY = 100 * 1024 * 1024  # the Functions host's own limit

Answer = Callable[[Function, Input], Awaitable[Datum | None]]  # None: the invocation failed


def route_table(functions: Iterable[Function], prefix: str) -> RouteTable[Function]:
    """Return the routes of `functions`; raise `ConfigError`."""
    routes, problems = [], []
    for function in functions:
        if isinstance(function.trigger, HttpTrigger):
            try:
                template = f"{prefix}/{function.trigger.route}"
                routes.append(compile_route(template, function, function.trigger.methods))
            except ValueError as error:
                problems.append(f"function {function.name}: {error}")
    if problems:
        raise ConfigError(problems)
    return RouteTable(routes)


class HttpServer:
    """Listens from `start` to `close`; what it answers is changed by `mount`."""

    def __init__(self, drain: float) -> None:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._respond)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain)
        self._routes: RouteTable[Function] = RouteTable()
        self._answer: Answer | None = None

    async def start(self, port: int) -> int:
        """Listen on `port`, on a free one for 0, and return it; raise OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, port).start()
        return int(self._runner.addresses[0][1])

    def mount(self, routes: RouteTable[Function], answer: Answer) -> None:
        """Answer requests by `routes` from now on."""
        self._routes, self._answer = routes, answer

    def unmount(self) -> None:
        """Answer 503 from now on."""
        self._routes, self._answer = RouteTable(), None

    async def close(self) -> None:
        """Stop listening, and wait for the requests under way."""
        await self._runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()  # which may take long, and outlast what is mounted
        if self._answer is None:
            return web.Response(status=503)
        found = self._routes.find(request.method, request.raw_path.partition("?")[0])
        if found is None:
            return web.Response(status=404)
        function, parameters = found
        result = await self._answer(function, _input(request, parameters, body))
        return web.Response(status=500) if result is None else _response(result)


def _input(request: web.Request, parameters: dict[str, str], body: bytes) -> Input:
    return http_input(
        method=request.method,
        url=f"{request.scheme}://{request.host}{request.raw_path}",
        headers=_joined(request.headers.items()),
        query=_joined(_query(request.raw_path.partition("?")[2])),
        route=parameters,
        body=body,
    )


def _query(text: str) -> list[tuple[str, str]]:
    """Return the parameters of a query, which only `&` separates and where `+` is a space."""
    pairs = (part.partition("=") for part in text.split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one value a name, whatever its case: the host joins repeated ones by commas."""
    values: CIMultiDict[str] = CIMultiDict(pairs)
    return {name: ",".join(values.getall(name)) for name in values}


def _response(result: Datum) -> web.Response:
    if result.type == "string":
        return web.Response(text=result.value)
    response: dict[str, Any] = result.value
    headers = CIMultiDict((name, datum.value) for name, datum in response["headers"].items())
    for cookie in response["cookies"] or ():
        headers.extend(("Set-Cookie", text) for text in _cookies(cookie))
    return web.Response(
        status=int(response["status_code"].value), headers=headers, body=response["body"].value
    )


def _cookies(cookie: SimpleCookie) -> list[str]:
    return [morsel.OutputString() for morsel in cookie.values()]
