"""The HTTP trigger: a server on the loopback interface that turns requests into invocations."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from azure.functions.meta import Datum
from multidict import CIMultiDict

from opswatch.core.errors import ConfigError
from opswatch.local.host.app import Function, HttpTrigger
from opswatch.local.host.bindings import Input, http_input
from opswatch.local.host.routes import Route, RouteTable, compile_route
from opswatch.local.ports import LOOPBACK, listen_on

_RESERVED = ("admin", "runtime")  # beginnings of the host's own routes
_MAX_BODY = 100 * 1024 * 1024  # the limit of the Functions host

Keys = Mapping[str, Collection[str]]  # the name of a function -> its keys
Invoke = Callable[[Function, Input], Awaitable[Datum | None]]  # None: the invocation failed


def route_table(functions: Iterable[Function], prefix: str) -> RouteTable[Function]:
    """Return the routes of `functions` in the order in which the host tries them.

    That is the order of the functions' names, however specific the routes are.
    https://github.com/Azure/azure-functions-host/issues/9876

    Raises:
        ConfigError: the host would not serve some of the functions (ScriptHost.ValidateFunction).
    """
    routes: list[Route[Function]] = []
    problems, served = [], dict[str, HttpTrigger]()
    for function in sorted(functions, key=lambda function: function.name.upper()):
        trigger = function.trigger
        if not isinstance(trigger, HttpTrigger):
            continue
        about = f"function {function.name}: the route {trigger.route!r}"
        rivals = [name for name, other in served.items() if trigger.conflicts_with(other)]
        if trigger.path.startswith(_RESERVED):
            problems.append(f"{about} begins with a reserved name")
        elif rivals:
            problems.append(f"{about} is that of {rivals[0]}")
        else:
            served[function.name] = trigger
            try:
                template = f"{prefix}/{trigger.route}"
                routes.append(compile_route(template, function, trigger.methods))
            except ValueError as error:
                problems.append(f"function {function.name}: {error}")
    if problems:
        raise ConfigError(problems)
    return RouteTable(routes)


class HttpServer:
    """Listens from `start` to `close`; `mount` sets the functions that it invokes.

    A function that has `keys` needs one of them, as in Azure; others need none, as under Core
    Tools.
    """

    def __init__(self, drain: float, keys: Keys | None = None) -> None:
        self._keys = keys or {}
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._respond)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain)
        self._routes: RouteTable[Function] = RouteTable()
        self._invoke: Invoke | None = None

    async def start(self, port: int) -> int:
        """Listen on `port` (0: a free one) and return it; raise `PortError`."""
        opened = listen_on(port)
        await self._runner.setup()
        await web.SockSite(self._runner, opened).start()
        return int(opened.getsockname()[1])

    def mount(self, routes: RouteTable[Function], invoke: Invoke) -> None:
        """Route requests by `routes` from now on."""
        self._routes, self._invoke = routes, invoke

    def unmount(self) -> None:
        """Answer 503 from now on."""
        self._routes, self._invoke = RouteTable(), None

    async def close(self) -> None:
        """Stop listening, and wait for the requests under way."""
        await self._runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if not is_loopback_name(request.host):  # a name that leads here from another page's site
            return web.Response(status=421)
        try:
            body = await request.read()  # other functions may be mounted before this returns
        except ConnectionError:  # the client has gone in the middle of its body
            return web.Response(status=400)
        if self._invoke is None:
            return web.Response(status=503)
        path, _, query = request.raw_path.partition("?")
        found = self._routes.find(request.method, path)
        if found is None:
            return web.Response(status=404)
        function, parameters = found
        keys = self._keys.get(function.name, ())
        if keys and request.headers.get("x-functions-key") not in keys:
            return web.Response(status=401)
        request_input = http_input(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.raw_path}",
            headers=_join_repeated(request.headers.items()),
            query=_join_repeated(parse_qsl(query, keep_blank_values=True)),
            route=parameters,
            body=body,
        )
        result = await self._invoke(function, request_input)
        return web.Response(status=500) if result is None else _response(result)


def is_loopback_name(host: str) -> bool:
    """Return whether a `Host` header names the loopback interface."""
    name = re.sub(r":\d*$", "", host.lower())
    return name in ("localhost", LOOPBACK, "[::1]") or name.endswith(".localhost")


def _join_repeated(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one value per name, without regard to case; the host joins repeated ones by commas."""
    values: CIMultiDict[str] = CIMultiDict(pairs)
    return {name: ",".join(values.getall(name)) for name in values}


def _response(result: Datum) -> web.Response:
    if result.type == "string":
        return web.Response(text=result.value)
    response: dict[str, Any] = result.value
    headers = CIMultiDict((name, datum.value) for name, datum in response["headers"].items())
    for cookie in response["cookies"] or ():
        headers.extend(("Set-Cookie", morsel.OutputString()) for morsel in cookie.values())
    return web.Response(
        status=int(response["status_code"].value), headers=headers, body=response["body"].value
    )
