"""A queue service in front of Azurite's: it records the requests, and can hide the messages."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from yarl import URL

from opswatch.config import development_storage
from opswatch.local.azurite import Azurite

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding"}
_NO_MESSAGES = "<?xml version='1.0' encoding='utf-8'?><QueueMessagesList></QueueMessagesList>"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the queue service."""

    at: float  # of time.monotonic
    method: str
    path: str  # without the account
    query: dict[str, str]

    @property
    def is_receive(self) -> bool:
        return (
            self.method == "GET"
            and self.path.endswith("/messages")
            and "peekonly" not in self.query
        )


@dataclass
class QueueProxy:
    """A running proxy."""

    ports: dict[str, int]  # by service: the queue service is the proxy
    requests: list[Request] = field(default_factory=list)

    @property
    def connection_string(self) -> str:
        return development_storage(self.ports)

    def receives(self, queue: str) -> list[Request]:
        """Return the receives from `queue`, in order."""
        return [
            request
            for request in self.requests
            if request.is_receive and request.path == f"/{queue}/messages"
        ]


@asynccontextmanager
async def queue_proxy(
    azurite: Azurite, *, hides_messages: bool = False
) -> AsyncIterator[QueueProxy]:
    """Yield a proxy; with `hides_messages` each receive finds the queue empty, but not a peek."""
    proxy = QueueProxy({})
    session = ClientSession(
        connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar(), auto_decompress=False
    )

    async def forward(received: web.Request) -> web.Response:
        path = f"/{received.match_info['path']}"
        request = Request(time.monotonic(), received.method, path, dict(received.query))
        proxy.requests.append(request)
        if hides_messages and request.is_receive:
            return web.Response(text=_NO_MESSAGES, content_type="application/xml")
        target = f"http://127.0.0.1:{azurite.ports['queue']}{received.raw_path}"
        async with session.request(
            received.method,
            URL(target, encoded=True),
            headers=received.headers,
            data=await received.read() or None,
            skip_auto_headers=["Content-Type"],  # it would be signed
        ) as answer:
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in _HOP_BY_HOP
            }
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    app = web.Application()
    app.router.add_route("*", "/{account}/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None)
    async with session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        proxy.ports = {**azurite.ports, "queue": runner.addresses[0][1]}
        try:
            yield proxy
        finally:
            await runner.cleanup()
