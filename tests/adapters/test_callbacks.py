"""Attempts at receivers over loopback: every behaviour of a receiver is a value."""

import asyncio
import datetime as dt
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from opswatch.adapters.callbacks import MAX_BODY, MAX_ERROR, HttpCallbacks, system_tls
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.hosts import Busy
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from tests.support.receivers import Floods

LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))
SHORT = timedelta(milliseconds=150)
SECRET = "hush-hush"
HEADERS = {"Content-Type": "application/cloudevents+json", "webhook-id": "msg_1"}
BODY = b'{"specversion": "1.0"}'

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@dataclass
class Receiver:
    """A server that reads one request for each connection, and answers it with `answer`."""

    answer: Answer
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    def url(self, target: str = "/hook", *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{target}?t={SECRET}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head + await reader.readexactly(len(BODY)))
            await self.answer(reader, writer)
        finally:
            self.open -= 1


@asynccontextmanager
async def listening(serve: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve each connection with `serve` and close it; yield the port."""
    served: list[asyncio.Task[None] | None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, served))


@asynccontextmanager
async def receiver(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    server = Receiver(answer)
    async with listening(server.serve, tls) as server.port:
        yield server


def says(text: bytes) -> Answer:
    """Answer `text`, then close."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


def repeats(text: bytes, begin: bytes = b"") -> Answer:
    """Answer `begin`, then `text` until the client closes."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while not writer.is_closing():
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(0)

    return answer


def hangs(after: bytes = b"") -> Answer:
    """Answer `after`, then nothing until the client gives up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await reader.read()

    return answer


def loopback_socket(addr_info: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket on loopback only: no test leaves the machine if the adapter is wrong."""
    family, kind, protocol, _, address = addr_info
    assert ip_address(address[0]).is_loopback
    return socket.socket(family, kind, protocol)


async def post(
    url: str,
    *,
    rules: CallbackRules = LOOPBACK,
    timeout: timedelta = timedelta(seconds=15),  # noqa: ASYNC109 - the adapter's
    tls: ssl.SSLContext | None = None,
) -> HttpResponse | NoAnswer:
    callbacks = HttpCallbacks(rules, timeout=timeout, open_socket=loopback_socket, tls=tls)
    try:
        outcome = await callbacks.post(CallbackRequest(url, HEADERS, BODY))
    finally:
        await callbacks.close()
    if isinstance(outcome, NoAnswer):
        assert SECRET not in outcome.error
        assert outcome.error.isprintable()
        assert 0 < len(outcome.error) <= MAX_ERROR
    return outcome


def layer_of(outcome: HttpResponse | NoAnswer) -> str:
    assert isinstance(outcome, NoAnswer)
    return outcome.layer


# --- requests


async def test_request_is_sent_unchanged() -> None:
    target = "/a/../b//%2e%2E/c;d?x=%zz&y=a+b&z='\"<>|{}[]@:"
    async with receiver(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        outcome = await post(server.url(target).replace(f"?t={SECRET}", ""))
    assert outcome == HttpResponse(204, {}, b"")
    request_line, *headers = server.requests[0].removesuffix(b"\r\n\r\n" + BODY).split(b"\r\n")
    assert request_line == b"POST " + target.encode() + b" HTTP/1.1"
    assert sorted(header.decode() for header in headers) == [
        "Accept-Encoding: identity",
        "Accept: */*",
        "Connection: close",
        f"Content-Length: {len(BODY)}",
        "Content-Type: application/cloudevents+json",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: opswatch",
        "webhook-id: msg_1",
    ]
    assert server.requests[0].endswith(BODY)


async def test_permitted_localhost_is_reached() -> None:
    async with receiver(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as server:
        outcome = await post(server.url(host="localhost"))
    assert isinstance(outcome, HttpResponse)
    assert f"Host: localhost:{server.port}".encode() in server.requests[0]


async def test_cookie_is_not_sent_back() -> None:
    answer = says(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
    async with receiver(answer) as server:
        callbacks = HttpCallbacks(LOOPBACK)
        for _ in range(2):
            await callbacks.post(CallbackRequest(server.url(host="localhost"), HEADERS, BODY))
        await callbacks.close()
    assert len(server.requests) == 2
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_forbidden_loopback_gets_no_connection() -> None:
    async with receiver(says(b"")) as server:
        outcome = await post(server.url(scheme="https"), rules=CallbackRules())
    assert isinstance(outcome, NoAnswer)
    assert outcome.layer == "refused"
    assert "loopback" in outcome.error
    assert server.requests == []


# --- answers


@pytest.mark.parametrize("status", [200, 201, 299, 400, 404, 410, 418, 429, 500, 503, 599])
async def test_every_status_is_an_answer(status: int) -> None:
    text = f"HTTP/1.1 {status} Word\r\nContent-Length: 4\r\n\r\nbody"
    async with receiver(says(text.encode())) as server:
        outcome = await post(server.url())
    assert outcome == HttpResponse(status, {"content-length": "4"}, b"body")


async def test_header_names_are_lowered_and_values_joined() -> None:
    text = b"HTTP/1.1 429 Slow\r\nRETRY-After: 120\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    async with receiver(says(text)) as server:
        outcome = await post(server.url())
    headers = {"retry-after": "120", "x-a": "1, 2", "content-length": "0"}
    assert outcome == HttpResponse(429, headers, b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    async with receiver(says(b"HTTP/1.1 200 OK\r\n\r\n")) as other:
        location = f"Location: {other.url()}\r\nRefresh: 0; url=http://169.254.169.254/"
        text = f"HTTP/1.1 {status} Elsewhere\r\n{location}\r\nContent-Length: 0\r\n\r\n"
        async with receiver(says(text.encode())) as server:
            outcome = await post(server.url())
    assert isinstance(outcome, HttpResponse)
    assert outcome.status_code == status
    assert other.requests == []


async def test_interim_answer_is_skipped() -> None:
    text = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with receiver(says(text)) as server:
        assert await post(server.url()) == HttpResponse(200, {"content-length": "0"}, b"")


async def test_long_answer_is_read_in_part() -> None:
    flood = Floods(200)
    async with receiver(flood) as server:
        outcome = await post(server.url())
    assert isinstance(outcome, HttpResponse)
    assert (outcome.status_code, outcome.body) == (200, b"x" * MAX_BODY)
    assert flood.sent < flood.size / 5  # the buffers on the way


async def test_endless_chunked_answer_is_cut() -> None:
    begin = b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with receiver(repeats(b"1\r\nx\r\n", begin)) as server:
        outcome = await post(server.url())
    assert isinstance(outcome, HttpResponse)
    assert (outcome.status_code, outcome.body) == (500, b"x" * MAX_BODY)


@pytest.mark.parametrize("end", [hangs, says], ids=["hangs", "breaks off"])
async def test_incomplete_body_keeps_its_status(end: Callable[[bytes], Answer]) -> None:
    async with receiver(end(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\npart")) as server:
        outcome = await post(server.url(), timeout=SHORT)
    assert outcome == HttpResponse(200, {"content-length": "99"}, b"part")


# --- no answer


@pytest.mark.parametrize(
    "answer",
    [
        hangs(),
        hangs(b"HTTP/1.1 200 OK\r\nX-Slow: a"),
    ],
    ids=["silence", "half a header"],
)
async def test_slow_answer_is_a_timeout(answer: Answer) -> None:
    async with receiver(answer) as server:
        outcome = await post(server.url(), timeout=SHORT)
    assert outcome == NoAnswer("timeout", "no answer within 0.15 s")


async def test_unaccepted_connection_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # the backlog connects, no call accepts
        outcome = await post(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=SHORT)
    assert outcome == NoAnswer("timeout", "no answer within 0.15 s")


MALFORMED = [
    b"",
    b"HTTP/1.1 200",
    b"SSH-2.0-OpenSSH_9.6 ?t=hush-hush\r\n\r\n",
    b"HTTP/1.1 two hundred\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"hush-hush" * 20_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize(
    "answer",
    [
        *(pytest.param(says(text), id=ascii(text[:40])) for text in MALFORMED),
        pytest.param(
            repeats(b"X-More: hush-hush\r\n", b"HTTP/1.1 200 OK\r\n"), id="endless headers"
        ),
        pytest.param(repeats(b"\x00" * 1000), id="endless zeroes"),
    ],
)
async def test_malformed_answer_fails_at_http(answer: Answer) -> None:
    async with receiver(answer) as server:
        assert layer_of(await post(server.url())) == "http"


async def test_closed_port_fails_at_connect() -> None:
    async with receiver(says(b"")) as server:
        url = server.url()
    outcome = await post(url)
    assert isinstance(outcome, NoAnswer)
    assert outcome.layer == "connect"
    assert "onnect" in outcome.error


async def test_cancelled_attempt_drops_its_connection() -> None:
    reached = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        reached.set()
        assert await reader.read() == b""  # the end

    async with receiver(answer) as server:
        attempt = asyncio.create_task(post(server.url()))
        await reached.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt


# --- room


async def attempt(
    callbacks: HttpCallbacks, url: str, *, forced: bool = False
) -> HttpResponse | NoAnswer | Busy:
    """Make an attempt as deliveries do: in a slot."""
    async with callbacks.slot(url, forced=forced) as slot:
        if isinstance(slot, Busy):
            return slot
        return await callbacks.post(CallbackRequest(url, HEADERS, BODY), slot)


@dataclass
class Names(AbstractResolver):
    """A name server that knows loopback under each name, but has no answer if it is `dead`."""

    dead: bool = False
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if self.dead:
            await asyncio.Event().wait()
        family = socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


async def test_connections_to_a_host_are_bounded() -> None:
    async with receiver(hangs()) as server:
        callbacks = HttpCallbacks(LOOPBACK, timeout=SHORT * 8)
        outcomes = await asyncio.gather(*(attempt(callbacks, server.url()) for _ in range(40)))
        await callbacks.close()
    kinds = Counter(map(type, outcomes))
    assert kinds == {NoAnswer: 32, Busy: 8}
    assert server.most_open == 32


async def test_connections_to_an_address_are_bounded() -> None:
    """Forty names at one address that hangs: what has no place there is busy."""
    async with receiver(hangs()) as server:
        callbacks = HttpCallbacks(LOOPBACK, timeout=SHORT * 3, resolver=Names())
        urls = [server.url(host=f"hook.zone{number}.example") for number in range(40)]
        outcomes = await asyncio.gather(*(attempt(callbacks, url) for url in urls))
        await callbacks.close()
    assert Counter(map(type, outcomes)) == {NoAnswer: 32, Busy: 8}
    assert server.most_open == 32


async def test_no_attempt_waits_for_a_connection() -> None:
    """Waiting would end as a time-out, which counts against the receiver."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(receiver(hangs())) for _ in range(120)]
        innocent = await stack.enter_async_context(receiver(OK))
        callbacks = HttpCallbacks(LOOPBACK, timeout=SHORT * 8)
        posts = [callbacks.post(CallbackRequest(server.url(), HEADERS, BODY)) for server in servers]
        hanging = [asyncio.create_task(post) for post in posts]
        async with asyncio.timeout(10):
            while not all(server.open for server in servers):
                await asyncio.sleep(0)
        outcome = await attempt(callbacks, innocent.url())
        assert isinstance(outcome, HttpResponse)
        assert not any(task.done() for task in hanging)
        await asyncio.gather(*hanging)
        await callbacks.close()


async def test_name_without_an_answer_is_busy() -> None:
    names = Names(dead=True)
    callbacks = HttpCallbacks(LOOPBACK, timeout=SHORT, resolver=names)
    outcomes = [await attempt(callbacks, "http://hook.dead.example:8080/") for _ in range(3)]
    await callbacks.close()
    assert [type(outcome) for outcome in outcomes] == [Busy] * 3
    (host,) = callbacks._limiter._hosts.values()
    assert not host.is_unknown, "it counts as slow"
    assert not host.is_quick
    assert names.asked == ["hook.dead.example"]


async def test_forced_attempt_is_made_whatever_the_room() -> None:
    names = Names(dead=True)
    async with receiver(hangs()) as server, receiver(OK) as innocent:
        callbacks = HttpCallbacks(LOOPBACK, timeout=SHORT, resolver=names)
        url = "http://hook.dead.example:8080/"
        assert isinstance(await attempt(callbacks, url), Busy)
        outcome = await attempt(callbacks, url, forced=True)
        assert outcome == NoAnswer("dns", "no name server answered within 0.15 s")
        urls = [server.url()] * 40
        forced = await asyncio.gather(*(attempt(callbacks, url, forced=True) for url in urls))
        assert Counter(map(type, forced)) == {NoAnswer: 40}
        assert isinstance(await attempt(callbacks, innocent.url()), HttpResponse)
        await callbacks.close()


async def test_few_of_many_addresses_are_tried() -> None:
    """A name with hundreds of addresses opens no hundreds of sockets."""
    opened: list[str] = []

    def refuse(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        opened.append(addr_info[4][0])
        raise ConnectionRefusedError(111, "withheld")

    class Many(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            (first,) = await super().resolve(host, port, family)
            return [{**first, "host": f"127.0.0.{number}"} for number in range(1, 200)]

    callbacks = HttpCallbacks(LOOPBACK, open_socket=refuse, resolver=Many())
    outcome = await attempt(callbacks, "http://hook.many.example:8080/")
    await callbacks.close()
    assert outcome == NoAnswer("connect", "withheld")
    assert set(opened) == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://hook.example/", 80),
        ("https://hook.example/", 443),
        ("http://hook.example:8080/", 8080),
    ],
)
async def test_port_is_the_schemes_unless_given(url: str, port: int) -> None:
    opened: list[int] = []

    def refuse(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        opened.append(addr_info[4][1])
        raise ConnectionRefusedError(111, "withheld")

    callbacks = HttpCallbacks(LOOPBACK, open_socket=refuse, resolver=Names())
    assert isinstance(await attempt(callbacks, url), NoAnswer)
    await callbacks.close()
    assert opened == [port]


async def test_forced_attempt_has_a_look_up_whatever_the_room() -> None:
    names = Names(dead=True)
    async with receiver(OK) as server:
        callbacks = HttpCallbacks(LOOPBACK, timeout=SHORT, resolver=names)
        urls = [f"http://hook.zone{number}.example:8080/" for number in range(60)]
        outcomes = await asyncio.gather(*(attempt(callbacks, url) for url in urls))
        assert set(map(type, outcomes)) == {Busy}
        names.dead = False
        url = server.url(host="hook.new.example")
        assert isinstance(await attempt(callbacks, url), Busy)
        assert isinstance(await attempt(callbacks, url, forced=True), HttpResponse)
        await callbacks.close()


async def test_forced_attempt_waits_longer_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opswatch.adapters.callbacks.PATIENCE", 0.01)
    answers = asyncio.Event()

    class Late(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            await answers.wait()
            return await super().resolve(host, port, family)

    async with receiver(OK) as server:
        callbacks = HttpCallbacks(LOOPBACK, resolver=Late())
        url = server.url(host="hook.example")
        assert isinstance(await attempt(callbacks, url), Busy)
        asyncio.get_running_loop().call_later(0.05, answers.set)
        assert isinstance(await attempt(callbacks, url, forced=True), HttpResponse)
        await callbacks.close()


async def test_addresses_belong_to_no_domain() -> None:
    callbacks = HttpCallbacks(LOOPBACK)
    async with callbacks.slot("https://203.0.113.7/"), callbacks.slot("https://a.b.example/"):
        assert set(callbacks._limiter._groups) == {"b.example"}
    await callbacks.close()


async def test_unexpected_error_counts_as_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver may have the request: if it did not count, it would be sent again and again."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect of a library")

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fail)
    callbacks = HttpCallbacks(LOOPBACK)
    outcome = await attempt(callbacks, "http://127.0.0.1:8080/")
    await callbacks.close()
    assert outcome == NoAnswer("http", "RuntimeError")


# --- TLS


def certificate(
    directory: Path, name: str, *, expired: bool = False
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a self-signed certificate for `name`, and a trusting one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = dt.datetime.now(dt.UTC)
    alternative: x509.GeneralName = x509.DNSName(name)
    if name[0].isdigit():
        alternative = x509.IPAddress(IPv4Address(name))
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=9))
        .not_valid_after(today + timedelta(days=-1 if expired else 9))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "server.pem"
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


OK = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_certificate_for_the_host_is_accepted(tmp_path: Path, host: str) -> None:
    served, trusted = certificate(tmp_path, host)
    async with receiver(OK, served) as server:
        outcome = await post(server.url(scheme="https", host=host), tls=trusted)
    assert outcome == HttpResponse(200, {"content-length": "0"}, b"")


@pytest.mark.parametrize(
    ("name", "expired", "is_trusted", "error"),
    [
        ("localhost", False, False, "self-signed certificate"),
        ("other.example", False, True, "mismatch"),
        ("localhost", True, True, "expired"),
    ],
)
async def test_bad_certificate_fails_at_tls(
    tmp_path: Path, name: str, expired: bool, is_trusted: bool, error: str
) -> None:
    served, trusted = certificate(tmp_path, name, expired=expired)
    async with receiver(OK, served) as server:
        url = server.url(scheme="https", host="localhost")
        outcome = await post(url, tls=trusted if is_trusted else None)
    assert isinstance(outcome, NoAnswer)
    assert outcome.layer == "tls"
    assert error in outcome.error
    assert server.requests == []


@pytest.mark.parametrize(
    ("hello", "layer"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "tls"),
        (b"\x16\x03\x03\x00\x05hello", "tls"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls"),  # an alert: protocol_version
        (b"", "connect"),
    ],
    ids=ascii,
)
async def test_broken_hello_is_no_answer(hello: bytes, layer: str) -> None:
    async with listening(says(hello)) as port:
        assert layer_of(await post(f"https://127.0.0.1:{port}/")) == layer


async def test_missing_hello_is_a_timeout() -> None:
    async with listening(hangs()) as port:
        outcome = await post(f"https://127.0.0.1:{port}/", timeout=SHORT)
    assert outcome == NoAnswer("timeout", "no answer within 0.15 s")


def test_tls_is_at_least_1_2_and_verified() -> None:
    tls = system_tls()
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.verify_mode == ssl.CERT_REQUIRED
    assert tls.check_hostname
