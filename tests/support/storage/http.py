"""The part of HTTP/1.1 that storage clients use: whole requests in, whole responses out.

A web framework takes about ten times the CPU, which would be measured too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

_END_OF_HEADERS = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: the path without the account's name, decoded; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response; `Content-Length` is added to it."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    delay: float = 0.0  # seconds until it is sent


Answer = Callable[[Request], Response]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """Serve on a free loopback port, and yield it; at the end close every connection."""
    connections: set[asyncio.BaseTransport] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(answer, connections), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(connections):
            connection.close()
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    """One connection, kept alive; its requests are answered in order."""

    def __init__(self, answer: Answer, connections: set[asyncio.BaseTransport]) -> None:
        self._answer = answer
        self._connections = connections
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while request := self._next_request():
            response = self._answer(request)
            if response.delay:
                send = self._transport.write
                asyncio.get_running_loop().call_later(response.delay, send, _encoded(response))
            else:
                self._transport.write(_encoded(response))

    def _next_request(self) -> Request | None:
        """Remove and return the first request, if it has been received completely."""
        end = self._received.find(_END_OF_HEADERS)
        if end < 0:
            return None
        first, headers = head_of(self._received[:end])
        begin = end + len(_END_OF_HEADERS)
        rest = begin + int(headers.get("content-length", 0))
        if len(self._received) < rest:
            return None
        body, self._received = self._received[begin:rest], self._received[rest:]
        return request_of(first, headers, body)


def head_of(text: bytes) -> tuple[str, dict[str, str]]:
    """Return the first line of a request and its headers, with names in lower case."""
    first, *lines = text.decode("latin-1").split("\r\n")
    return first, {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def request_of(first_line: str, headers: dict[str, str], body: bytes) -> Request:
    """Return the request that begins with `first_line`, in which a URL may be absolute."""
    method, target, _ = first_line.split(" ")
    path, _, query = target.partition("?")
    if "://" in path:
        path = path[path.index("/", path.index("://") + 3) :]
    _, _, inner = path[1:].partition("/")
    return Request(
        method=method,
        path=unquote(inner),
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        headers=headers,
        body=body,
    )


def _encoded(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += [f"Content-Length: {len(response.body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + response.body
