"""From a request to a response: routes, limits, same origin, tags and headers."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus

from opswatch.core.errors import ConfigError
from opswatch.core.intake import MAX_MESSAGE
from opswatch.core.redact import redact_text
from opswatch.health import UNREACHABLE, Check, check_all
from opswatch.ports import Services
from opswatch.web.answers import Call
from opswatch.web.http import HEADERS, JSON, Request, Response, json_response, with_tag
from opswatch.web.openapi import document
from opswatch.web.page import page
from opswatch.web.parameters import VERSION, read_query
from opswatch.web.problems import Code, ProblemError, problem
from opswatch.web.routes import Route, find_routes

_logger = logging.getLogger("opswatch")
_DASHBOARD = "dashboard"
_HEALTH_SECONDS = 10  # that a verdict is kept: every caller may ask for it
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # for parameters without instants
_RETRY = {"retry-after": "5"}
OpenServices = Callable[[], Awaitable[Services]]


@dataclass(slots=True)
class Router:
    """Answers the requests of one function app."""

    open_services: OpenServices
    _checks: tuple[datetime, Sequence[Check]] | None = field(default=None, init=False)

    async def respond(self, request: Request, function: str) -> Response:
        """Return the answer to a request that the host has passed to `function`; never raise."""
        is_head = request.method == "HEAD"
        try:
            response = await self._answer(request, function)
        except ProblemError as error:
            response = error.response
        except ConfigError as error:
            _logger.error("%s", error)  # noqa: TRY400 - its text names what is wrong
            response = problem(Code.NOT_READY, "the settings are wrong: see the app's log")
        except UNREACHABLE as error:
            _logger.warning("%s", redact_text(f"{type(error).__name__}: {error}"))
            response = problem(Code.NOT_READY, "the storage cannot be reached", _RETRY)
        except Exception:
            _logger.exception("a request has failed")
            response = problem(Code.INTERNAL_ERROR)
        response = with_tag(request, response)
        shared = HEADERS
        if (request.path or "").split("/")[0] == _DASHBOARD:
            shared = {**HEADERS, **page().policy()}
        response = replace(response, headers={**shared, **response.headers})
        return replace(response, body=b"") if is_head else response

    async def _answer(self, request: Request, function: str) -> Response:
        """Find the route; check 404, 405, 403, 413 and 415 in this order; answer."""
        path = request.path
        if path is None:
            raise ProblemError(Code.NOT_FOUND)
        if path.split("/")[0] == _DASHBOARD:
            return _page_file(request, path)
        found = [
            (route, parts)
            for route, parts in find_routes(path)
            if function in ("read", "write") or route.function == function
        ]
        if not found:
            raise ProblemError(Code.NOT_FOUND)
        allowed = tuple(method for route, _ in found for method in route.methods)
        allow = {"allow": ", ".join((*allowed, "OPTIONS"))}
        if request.method == "OPTIONS":
            return Response(status=HTTPStatus.NO_CONTENT, headers=allow)
        for route, parts in found:
            if request.method in route.methods:
                if route.method != "GET":
                    _check_change(request)
                return await self._call(request, route, parts)
        raise ProblemError(Code.METHOD_NOT_ALLOWED, f"allowed: {allow['allow']}", allow)

    async def _call(self, request: Request, route: Route, parts: dict[str, str]) -> Response:
        if route.answer is None:
            read_query(request.query, (VERSION,), _NO_TIME)
            return json_response(document())
        services = await self.open_services()
        now = services.clock()

        async def checks() -> Sequence[Check]:
            if self._checks is None or (now - self._checks[0]).total_seconds() > _HEALTH_SECONDS:
                self._checks = (now, [check async for check in check_all(services)])
            return self._checks[1]

        call = Call.read(request, parts, route.parameters, services, now, checks)
        return await route.answer(call)


def _page_file(request: Request, path: str) -> Response:
    response = page().respond(path.partition("/")[2])
    if response is None:
        raise ProblemError(Code.NOT_FOUND)
    if request.method not in ("GET", "HEAD"):
        allow = {"allow": "GET, HEAD, OPTIONS"}
        if request.method == "OPTIONS":
            return Response(status=HTTPStatus.NO_CONTENT, headers=allow)
        raise ProblemError(Code.METHOD_NOT_ALLOWED, "allowed: GET, HEAD", allow)
    return response


def _check_change(request: Request) -> None:
    """Refuse a change that another page may have asked for, and a body that is not JSON.

    A browser sends `application/json` to another origin only if that permits it, which opswatch
    never does; and it sends `Origin` with every request that changes something.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() != request.origin:
        raise ProblemError(Code.FOREIGN_ORIGIN)
    if len(request.body) > MAX_MESSAGE:
        raise ProblemError(Code.CONTENT_TOO_LARGE, f"{len(request.body)} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.body and kind != JSON:
        raise ProblemError(Code.UNSUPPORTED_MEDIA_TYPE, f"{kind[:64]!r} is not {JSON}")
