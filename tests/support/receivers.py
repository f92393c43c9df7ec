"""Receivers of callbacks on loopback: real sockets, with a responder for each request."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

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


# --- certificates, as strict as Python 3.13 requires

_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Certified:
    """A server's context, and the certificate of its authority."""

    server: ssl.SSLContext
    authority: Path

    @property
    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


def certified(directory: Path, name: str = "localhost", *, days: int = 30) -> Certified:
    """Make a throw-away authority, and a certificate for `name` that ends in `days`."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = (
        _certificate("Throw-away CA", "Throw-away CA", authority_key, days=90)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    own = (
        _certificate(name, "Throw-away CA", key, days=days)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    (directory / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (directory / "server.pem").write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.pem")
    return Certified(server, directory / "authority.pem")


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    def x509_name(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509_name(subject))
        .issuer_name(x509_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=90))
        .not_valid_after(now + dt.timedelta(days=days, hours=1))
    )
