"""A server of Azure's on loopback: real sockets, with a responder for each request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

TOKEN = "eyJ0.token.sig"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Ms-Request-Id: 7\r\n\r\n{}"

Responder = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Credential:
    """Returns one token, or fails; records the requests for it."""

    error: Exception | None = None
    asked: list[tuple[tuple[str, ...], str | None]] = field(default_factory=list)
    longest: float = 5.0
    patience: float = 5.0
    forgotten: int = 0

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        self.asked.append((scopes, (options or {}).get("claims")))
        if self.error is not None:
            raise self.error
        return AccessTokenInfo(f"{TOKEN}{self.forgotten + 1}" if self.forgotten else TOKEN, 2**33)

    async def forget(self) -> None:
        self.forgotten += 1

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@dataclass
class Server:
    """Answers its n-th request with the n-th responder, and all later ones with the last."""

    responders: list[Responder]
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    def header(self, name: str) -> list[str | None]:
        found = []
        for head in self.heads:
            lines = [line.partition(": ") for line in head.split("\r\n")]
            found.append(next((v for n, _, v in lines if n.lower() == name), None))
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                length = self.header("content-length")[-1] or "0"
                self.bodies.append(await reader.readexactly(int(length)))
                await self.responders[min(len(self.heads), len(self.responders)) - 1](writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def says(raw: bytes) -> Responder:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return say


def breaks_off_after(raw: bytes) -> Responder:
    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return break_off


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def serving(*responders: Responder) -> AsyncIterator[Server]:
    server = Server([*responders] or [says(OK)])
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
