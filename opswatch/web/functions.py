"""Between the Functions host and the router: requests and responses of `azure.functions`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import azure.functions as func

from opswatch.ports import Services
from opswatch.web.http import Request

if TYPE_CHECKING:
    from opswatch.web.router import Router


class HttpFunctions:
    """Answers the HTTP functions of an app: each function its own routes.

    The router is imported with the first request, for a worker that only reads queues needs none.
    """

    def __init__(self, open_services: Callable[[], Awaitable[Services]]) -> None:
        self._open_services = open_services
        self._router: Router | None = None

    async def respond(self, request: func.HttpRequest, function: str) -> func.HttpResponse:
        """Return the answer to a request that the host has passed to `function`."""
        if self._router is None:
            from opswatch.web.router import Router  # noqa: PLC0415 - see the class

            self._router = Router(self._open_services)
        response = await self._router.respond(
            Request(
                method=request.method.upper(),
                url=request.url,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.get_body(),
            ),
            function,
        )
        headers = dict(response.headers)
        kind = headers.get("content-type")
        return func.HttpResponse(
            response.body, status_code=response.status, headers=headers, mimetype=kind
        )
