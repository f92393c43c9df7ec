"""Receivers of callbacks on loopback: real sockets, with a responder for each request."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import trustme

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; header names in lower case."""

    method: str
    headers: dict[str, str]
    body: bytes


Responder = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split(" ")[0], headers, body)


@dataclass
class Listener:
    """A server of one request for each connection, until `async with` ends."""

    serve: Responder
    tls: ssl.SSLContext | None = None
    port: int = 0  # the first time any free one
    connections: int = 0
    _server: asyncio.Server | None = None
    _under_way: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}/hook"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await asyncio.gather(*filter(None, self._under_way))

    async def open(self) -> None:
        """Listen, each time on the same port."""
        self._server = await asyncio.start_server(self._connected, HOST, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuse connections; requests under way are still answered."""
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._under_way.add(task)
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self.serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        self._under_way.discard(task)


class Receiver(Listener):
    """Answers its n-th POST with the n-th responder, and all later ones with the last."""

    def __init__(self, *responders: Responder, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._answer, tls)
        self.responders = responders
        self.requests: list[Request] = []

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        self.requests.append(request)
        number = min(len(self.posts), len(self.responders))
        responder = self.responders[number - 1] if request.method == "POST" else answers(405)
        await responder(reader, writer)


class BrokenTlsReceiver(Receiver):
    """A server of https that answers a TLS hello with nonsense."""

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x16\x03\x03\x00\x05hello")
        await writer.drain()


# --- responders


def answers(status: int, body: bytes = b"", **headers: str) -> Responder:
    """Answer with a status, a body and headers (`_` for `-`)."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *lines]

    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()

    return respond


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Answer nothing until the client gives up."""
    await reader.read()


async def closes_early(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer half a line."""
    writer.write(b"HTTP/1.1 20")
    await writer.drain()


@dataclass
class Floods:
    """Answers with a status and 100 MB, or as much of it as the client reads."""

    status: int
    size: int = 100_000_000
    sent: int = 0

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {self.status} Word\r\nContent-Length: {self.size}\r\n\r\n".encode())
        while self.sent < self.size and not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()
            self.sent += 65536


# --- certificates


@dataclass(frozen=True, slots=True)
class Certified:
    """A server's context, and the certificate of its authority."""

    server: ssl.SSLContext
    authority: Path

    @property
    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


def certified(directory: Path) -> Certified:
    """Create an authority, and its certificate for localhost, which is valid for 30 days."""
    authority = trustme.CA(organization_unit_name="Throw-away CA")
    ends_at = datetime.now(UTC) + timedelta(days=30, hours=1)
    own = authority.issue_cert("localhost", common_name="localhost", not_after=ends_at)
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    own.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(server)
    return Certified(server, directory / "authority.pem")
