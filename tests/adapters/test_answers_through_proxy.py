"""Answers that arrive through a proxy's tunnel, of which the proxy's own answer is the first."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from opswatch.adapters.answers import AnswerConnector
from tests.support.receivers import certified

DONE = b'{"status":"Succeeded"}'
ODD = b"HTTP/1.1 200 OK\r\nbad line\r\nContent-Length: 22\r\nContent-Length: 22\r\n\r\n" + DONE


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: list[asyncio.Task[None] | None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, tasks))


async def answers_oddly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ODD)
    await writer.drain()


def tunnels(consent: bytes) -> Serve:
    """Return a proxy that answers CONNECT with `consent`, then passes bytes on."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(consent)
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    return serve


@pytest.mark.parametrize(
    "consent",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nProxy-Agent: a\r\n\r\n",
        b"HTTP/1.1 200\r\nbad line\r\nConnection: close\r\n\r\n",
    ],
)
async def test_odd_answer_is_read_through_tunnel(tmp_path: Path, consent: bytes) -> None:
    certificate = certified(tmp_path)
    async with (
        listening(answers_oddly, certificate.server) as port,
        listening(tunnels(consent)) as proxy,
        aiohttp.ClientSession(connector=AnswerConnector(ssl=certificate.client)) as session,
        session.get(f"https://localhost:{port}/", proxy=f"http://127.0.0.1:{proxy}") as answer,
    ):
        assert (answer.status, await answer.read()) == (200, DONE)


async def test_proxy_refusal_is_reported(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nbad line\r\n\r\nno")
        await writer.drain()

    trusted = certified(tmp_path).client
    async with (
        listening(refuse) as proxy,
        aiohttp.ClientSession(connector=AnswerConnector(ssl=trusted)) as session,
    ):
        with pytest.raises(aiohttp.ClientHttpProxyError, match="407"):
            await session.get("https://localhost:1/", proxy=f"http://127.0.0.1:{proxy}")
