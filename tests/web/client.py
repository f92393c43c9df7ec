"""A client of the router over the harness's fakes: no host, no sockets."""

import json
from dataclasses import dataclass, replace
from typing import Any

from opswatch.ports import Services
from opswatch.web.http import Request, Response
from opswatch.web.router import Router
from tests.support.harness import Harness

ORIGIN = "https://app.example.com"
BASE = f"{ORIGIN}/api"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its JSON."""

    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> dict[str, str]:
        return self.response.headers

    @property
    def json(self) -> Any:
        return json.loads(self.response.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


class Client:
    """Sends requests as the Functions host passes them on."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        # Of the harness both queues have one poison queue.
        given = replace(harness.services, poison=harness.services.poison * 2)

        async def services() -> Services:
            return given

        self.router = Router(services)

    async def send(
        self, method: str, path: str, body: object = None, function: str = "", **headers: str
    ) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            content = json.dumps(body).encode()
            given = {"content-type": "application/json", **given}
        url = path if "://" in path else f"{BASE}/{path}"
        request = Request(method=method, url=url, headers=given, body=content)
        function = function or ("read" if method in ("GET", "HEAD") else "write")
        return Answer(await self.router.respond(request, function))

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Answer:
        return await self.send("POST", path, body, **headers)

    async def all_pages(self, path: str) -> list[dict[str, Any]]:
        """Return the values of all pages, following the links."""
        values: list[dict[str, Any]] = []
        link: str | None = path
        while link is not None:
            answer = await self.get(link)
            assert answer.status == 200, answer.json
            values += answer.json["value"]
            link = answer.json.get("nextLink")
        return values
