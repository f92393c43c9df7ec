"""Answers over real sockets, as receivers and ARM really send them: the status counts."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Literal

import aiohttp
import pytest

from opswatch.adapters.answers import Unpacked, joined_headers, unpack
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.callbacks import MAX_BODY, HttpCallbacks
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.webhook import Accepted, Final, read_answer
from tests.support.servers import Credential

LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no certificate, and is made at once
PATH = "/subscriptions/s/providers/Microsoft.Cache/locations/westus/operationsStatus/op"
LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=200)
OK = b"HTTP/1.1 200 OK\r\n"
DONE = b'{"status":"Succeeded"}'
PLAIN = OK + b"Content-Length: 22\r\n\r\n" + DONE
NOW = datetime(2026, 11, 26, tzinfo=UTC)

End = Literal["closes", "stays"]


@dataclass
class Server:
    """Answers its n-th request with the n-th bytes, all later ones with the last, byte for byte."""

    answers: tuple[bytes, ...]
    end: End = "closes"
    port: int = 0
    connections: int = 0
    requests: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list[asyncio.Task[None] | None] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # a client closed a connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.tasks.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"POST"):
                    await reader.readexactly(2)
                self.requests += 1
                writer.write(self.answers[min(self.requests, len(self.answers)) - 1])
                await writer.drain()
                if self.end != "stays":
                    break
        self.ended.set()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(*answers: bytes, end: End = "closes") -> AsyncIterator[Server]:
    server = Server(answers, end)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
        await asyncio.gather(*filter(None, server.tasks))


@asynccontextmanager
async def arm_at(server: Server, patience: timedelta = LONG) -> AsyncIterator[HttpArm]:
    arm = HttpArm(f"http://127.0.0.1:{server.port}", "scope", Credential(), patience)
    try:
        yield arm
    finally:
        await arm.close()


async def get(server: Server, arm: HttpArm) -> HttpResponse | NoAnswer:
    return await arm.get(f"http://127.0.0.1:{server.port}{PATH}")


async def answer_of_arm(
    raw: bytes, *, end: End = "closes", patience: timedelta = LONG
) -> HttpResponse | NoAnswer:
    async with serving(raw, end=end) as server, arm_at(server, patience) as arm:
        answer = await get(server, arm)
        assert server.requests == 1
    return answer


async def answer_of_receiver(
    raw: bytes,
    *,
    end: End = "closes",
    timeout: timedelta = LONG,  # noqa: ASYNC109 - the adapter's
) -> HttpResponse | NoAnswer:
    async with serving(raw, end=end) as server:
        callbacks = HttpCallbacks(LOOPBACK, timeout=timeout, tls=NO_TLS)
        url = f"http://127.0.0.1:{server.port}/hook"
        answer = await callbacks.post(CallbackRequest(url, {"content-type": "text/plain"}, b"{}"))
        await callbacks.close()
        assert (server.connections, server.requests) == (1, 1)
    return answer


# --- answers that both must understand

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
SUCCEEDED = {
    "plain": PLAIN,
    "header of 9 KB": OK + b"P3P: " + b"p" * 9000 + b"\r\nContent-Length: 22\r\n\r\n" + DONE,
    "header of 64 KiB": OK + b"P3P: " + b"p" * 65536 + b"\r\nContent-Length: 22\r\n\r\n" + DONE,
    "200 headers": OK + b"X-A: b\r\n" * 200 + b"Content-Length: 22\r\n\r\n" + DONE,
    "both lengths": OK + b"Content-Length: 22\r\n" + CHUNKED + b"16\r\n" + DONE + b"\r\n0\r\n\r\n",
    "both lengths, not in chunks": OK + b"Content-Length: 22\r\n" + CHUNKED + DONE,
    "equal lengths": OK + b"Content-Length: 22\r\nContent-Length: 22\r\n\r\n" + DONE,
    "no length": OK + b"\r\n" + DONE,
    "length 0": OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n" + DONE,
    "length too small": OK + b"Content-Length: 20\r\n\r\n" + DONE,
    "length too large": OK + b"Content-Length: 99\r\n\r\n" + DONE,
    "unusable length": OK + b"Content-Length: -1\r\n\r\n" + DONE,
    "bytes after the body": PLAIN + b"\r\n\r\n",
    "another answer after the body": PLAIN + b"HTTP/1.1 500 Oops\r\n\r\n",
    "bad header line": OK + b"no colon\r\n: x\r\nContent-Length: 22\r\n\r\n" + DONE,
    "control characters": OK + b"X: \x00\x1b[2J\r\nContent-Length: 22\r\n\r\n" + DONE,
    "bad chunk": OK + CHUNKED + b"16\r\n" + DONE + b"\r\nZZ\r\n",
    "no last chunk": OK + CHUNKED + b"16\r\n" + DONE + b"\r\n",
    "chunked in name alone": OK + CHUNKED + DONE,
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 22\r\n\r\n" + DONE,
    "reason not ASCII": "HTTP/1.1 200 Très bien 確認\r\n\r\n".encode() + DONE,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + DONE,
    "lower case": b"HTTP/1.1 200 ok\r\ncontent-length: 22\r\ncontent-type: x\r\n\r\n" + DONE,
    "folded header": OK + b"X-A: b\r\n\tc\r\nContent-Length: 22\r\n\r\n" + DONE,
    "line feeds": b"HTTP/1.1 200 OK\nContent-Length: 22\n\n" + DONE,
    "interim answers": b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nX-A: b\r\n\r\n" + PLAIN,
    "odd charset": OK + b'Content-Type: application/json; charset="x-\xff"\r\n\r\n' + DONE,
    "odd cookie": OK + b"Set-Cookie: a{}[]@=\xff; Path\r\nContent-Length: 22\r\n\r\n" + DONE,
    "old websocket header": OK + b"Sec-WebSocket-Key1: a\r\nContent-Length: 22\r\n\r\n" + DONE,
    "upgrade": OK + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + DONE,
    "gzip": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(DONE),
    "gzip in name alone": OK + b"Content-Encoding: gzip\r\nContent-Length: 22\r\n\r\n" + DONE,
    "gzip without a name": OK + b"\r\n" + gzip.compress(DONE),
    "gzip in members": OK + b"Content-Encoding: x-gzip\r\n\r\n"
    + gzip.compress(DONE[:9]) + gzip.compress(DONE[9:]) + b"\x00\x00",
    "gzip in gzip": OK + b"Content-Encoding: gzip, gzip\r\n\r\n"
    + gzip.compress(gzip.compress(DONE)),
    "deflate": OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(DONE),
    "bare deflate": OK + b"Content-Encoding: Deflate\r\n\r\n" + zlib.compress(DONE)[2:-4],
    "deflate in name alone": OK + b"Content-Encoding: deflate\r\nContent-Length: 22\r\n\r\n" + DONE,
    "unknown coding": OK + b"Content-Encoding: utf-8\r\nContent-Length: 22\r\n\r\n" + DONE,
}  # fmt: skip


@pytest.mark.parametrize("case", SUCCEEDED)
async def test_arm_answer_is_read(case: str) -> None:
    answer = await answer_of_arm(SUCCEEDED[case])
    assert isinstance(answer, HttpResponse)
    assert (answer.status_code, answer.body) == (200, DONE)


@pytest.mark.parametrize("case", SUCCEEDED)
async def test_receiver_that_succeeded_is_called_once(case: str) -> None:
    answer = await answer_of_receiver(SUCCEEDED[case])
    assert isinstance(answer, HttpResponse)
    assert (answer.status_code, answer.body) == (200, DONE)
    assert isinstance(read_answer(answer, NOW), Accepted)


@pytest.mark.parametrize("case", SUCCEEDED)
async def test_receiver_that_is_gone_is_called_once(case: str) -> None:
    gone = SUCCEEDED[case].replace(b" 200", b" 410")
    answer = await answer_of_receiver(gone)
    assert isinstance(answer, HttpResponse)
    assert read_answer(answer, NOW) == Final("410")


@pytest.mark.parametrize("case", SUCCEEDED)
async def test_receiver_that_aborts_is_called_once(case: str) -> None:
    status, newline, rest = SUCCEEDED[case].partition(b" 200")
    line, newline, headers = rest.partition(b"\n")
    aborts = status + b" 500" + line + newline + b"Webhook-Delivery: abort-message\r\n" + headers
    answer = await answer_of_receiver(aborts)
    assert isinstance(answer, HttpResponse)
    assert read_answer(answer, NOW) == Final("500 abort-message")


# --- answers without a body


@pytest.mark.parametrize("end", ["closes", "stays"])
@pytest.mark.parametrize(
    "rest", [b"\r\n", b"content-length: 4\r\n\r\nnull", b"\r\nnull", CHUNKED + b"4\r\nnull\r\n"]
)
async def test_body_after_204_is_ignored(rest: bytes, end: End) -> None:
    raw = b"HTTP/1.1 204 No Content\r\n" + rest
    for answer in (await answer_of_receiver(raw, end=end), await answer_of_arm(raw, end=end)):
        assert isinstance(answer, HttpResponse)
        assert (answer.status_code, answer.body) == (204, b"")


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-"])
async def test_status_line_alone_counts_for_receiver_only(raw: bytes) -> None:
    answer = await answer_of_receiver(raw)
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 200
    async with serving(raw) as server, arm_at(server) as arm:
        assert isinstance(await get(server, arm), NoAnswer)


async def test_answer_before_request_counts() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\n")  # `echo HTTP/1.1 200 OK | nc -N -l`
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        callbacks = HttpCallbacks(LOOPBACK, tls=NO_TLS)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        answer = await callbacks.post(CallbackRequest(url, {}, b"{}"))
        await callbacks.close()
    assert answer == HttpResponse(200, {}, b"")


async def test_endless_interim_answers_are_no_answer() -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000
    for answer in (
        await answer_of_receiver(raw, end="stays"),
        await answer_of_arm(raw, end="stays"),
    ):
        assert isinstance(answer, NoAnswer)
        assert answer.layer == "http"
        assert "more than 32 interim answers" in answer.error


async def test_redirect_is_not_followed() -> None:
    async with serving(PLAIN) as other:
        location = b"Location: http://127.0.0.1:%d%b" % (other.port, PATH.encode())
        raw = b"HTTP/1.1 307\r\nbad line\r\n" + location + b"\r\nContent-Length: 0\r\n\r\nmore"
        for answer in (await answer_of_receiver(raw), await answer_of_arm(raw)):
            assert isinstance(answer, HttpResponse)
            assert answer.status_code == 307
    assert other.requests == 0


# --- bodies that break off


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 99\r\n\r\n{",
        b"Content-Length: 99\r\n\r\n",
        b"Content-Length: 3\r\n\r\n12",
        CHUNKED + b'9\r\n{"status"\r\nZZ\r\n',
        CHUNKED + b'5\r\n{"sta',
        CHUNKED,
        b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(DONE, mtime=0)[:-12],
    ],
)
async def test_broken_body_of_arm_is_no_end(rest: bytes) -> None:
    answer = await answer_of_arm(OK + rest)
    assert isinstance(answer, NoAnswer)
    assert answer.error.startswith("200 with a ")
    assert answer.layer == "http"
    refused = await answer_of_arm(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n" + rest)
    assert isinstance(refused, HttpResponse)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("rest", [b"Content-Length: 99\r\n\r\n", CHUNKED, b"\r\n"])
async def test_body_that_hangs_is_miss_and_delivered(rest: bytes) -> None:
    missed = await answer_of_arm(OK + rest + b"1", end="stays", patience=SHORT)
    assert isinstance(missed, NoAnswer)
    assert missed.layer == "timeout"
    answer = await answer_of_receiver(OK + rest + b"1", end="stays", timeout=SHORT)
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 200


# --- bombs

MEBIBYTE = 1024 * 1024
BOMBS = {
    "gzip": (b"Content-Encoding: gzip\r\n", gzip.compress(bytes(64 * MEBIBYTE))),
    "deflate": (b"Content-Encoding: deflate\r\n", zlib.compress(bytes(64 * MEBIBYTE))),
    "bare deflate": (b"Content-Encoding: deflate\r\n", zlib.compress(bytes(64 * MEBIBYTE))[2:-4]),
    "gzip in gzip": (b"", gzip.compress(gzip.compress(bytes(64 * MEBIBYTE)))),
}


@pytest.mark.parametrize("case", BOMBS)
async def test_bomb_is_cut_off(case: str) -> None:
    header, packed = BOMBS[case]
    answer = await answer_of_arm(OK + header + b"\r\n" + packed)
    assert answer == NoAnswer("http", "a body of more than 4194304 bytes")
    refused = await answer_of_arm(b"HTTP/1.1 404 No\r\n" + header + b"\r\n" + packed)
    assert isinstance(refused, HttpResponse)
    assert (refused.status_code, refused.body) == (404, b"")
    delivered = await answer_of_receiver(OK + header + b"\r\n" + packed)
    assert isinstance(delivered, HttpResponse)
    assert len(delivered.body) == MAX_BODY


def test_members_of_gzip_are_limited() -> None:
    assert unpack(gzip.compress(b"a") * 64, {}, 1000) == Unpacked(b"a" * 64)
    assert not unpack(gzip.compress(b"a") * 65, {}, 1000).is_whole


@pytest.mark.parametrize("case", BOMBS)
def test_bomb_is_unpacked_no_further_than_limit(case: str) -> None:
    header, packed = BOMBS[case]
    headers = {"content-encoding": header.decode().partition(": ")[2].strip()}
    assert len(unpack(packed, headers, 1000).content) == 1001


@pytest.mark.parametrize(
    "body", [b"", b"\x1f\x8b", b"\x1f\x8bno gzip", b"x", b"x\x9c", b"8", b"\x78\x9cno"]
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", "br"])
def test_short_body_stays_as_it_is(body: bytes, encoding: str) -> None:
    unpacked = unpack(body, {"content-encoding": encoding}, 1000)
    assert unpacked.content in (body, b"")


# --- connections to ARM


async def test_connection_is_used_again_after_regular_answers() -> None:
    regular = (PLAIN, OK + CHUNKED + b"16\r\n" + DONE + b"\r\n0\r\n\r\n", SUCCEEDED["lower case"])
    async with serving(*regular, end="stays") as server, arm_at(server) as arm:
        answers = [await get(server, arm) for _ in range(4)]
    assert [type(answer) for answer in answers] == [HttpResponse] * 4
    assert server.connections == 1


@pytest.mark.parametrize(
    "case",
    [
        "both lengths",
        "both lengths, not in chunks",
        "equal lengths",
        "length 0",
        "length too small",
        "bytes after the body",
        "another answer after the body",
        "bad header line",
        "bad chunk",
    ],
)
async def test_connection_is_not_used_again_after_odd_answer(case: str) -> None:
    async with serving(SUCCEEDED[case], PLAIN, end="stays") as server, arm_at(server) as arm:
        first, second = await get(server, arm), await get(server, arm)
    assert isinstance(first, HttpResponse)
    assert isinstance(second, HttpResponse)
    assert (first.body, second.body) == (DONE, DONE)
    assert (server.connections, server.requests) == (2, 2)


@pytest.mark.parametrize(
    "late", [b"null", b'{"status":"Failed"}', PLAIN.replace(b"Succeeded", b"Forgeries")]
)
async def test_late_leftovers_close_kept_connection(late: bytes) -> None:
    async with serving(PLAIN, end="stays") as server, arm_at(server) as arm:
        await get(server, arm)
        server.writers[0].write(late)
        await server.writers[0].drain()
        await server.ended.wait()
        answer = await get(server, arm)
    assert isinstance(answer, HttpResponse)
    assert answer.body == DONE
    assert server.connections == 2


async def test_leftovers_before_answer_are_asked_again() -> None:
    late = b"null" + PLAIN.replace(b"Succeeded", b"Forgeries")
    async with serving(PLAIN, late, PLAIN, end="stays") as server, arm_at(server) as arm:
        await get(server, arm)
        answer = await get(server, arm)
    assert isinstance(answer, HttpResponse)
    assert answer.body == DONE
    assert (server.connections, server.requests) == (2, 3)


async def test_aiohttp_alone_would_lose_these_answers() -> None:
    """If this fails, aiohttp has become lenient, and the reader may go."""
    lost = 0
    for case in ("both lengths", "bad header line", "header of 9 KB"):
        async with serving(SUCCEEDED[case]) as server, aiohttp.ClientSession() as session:
            try:
                await session.post(f"http://127.0.0.1:{server.port}/", data=b"{}")
            except aiohttp.ClientError:
                lost += 1
    assert lost == 3


# --- headers


def test_repeated_headers_are_joined() -> None:
    fields = [
        ("Retry-After", "4"),
        ("retry-after", "9"),
        ("X-A", "1"),
        ("X-a", "1"),
        ("Location", "https://a/"),
        ("Location", "https://b/"),
        ("X-B", "caf\udce9"),
    ]
    assert joined_headers(fields) == {
        "retry-after": "4, 9",
        "x-a": "1",
        "location": "https://b/",
        "x-b": "caf\ufffd",
    }
