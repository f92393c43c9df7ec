"""Receivers of callbacks on this machine's loopback: real sockets, a temper for each request."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: header names in lower case."""

    method: str
    headers: dict[str, str]
    body: bytes


Temper = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """Treats its n-th POST in the n-th way, and all later ones in the last."""

    tempers: tuple[Temper, ...]
    scheme: str = "http"
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}/hook"

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read(reader)
        self.requests.append(request)
        if request.method == "POST":
            await self.tempers[min(len(self.posts), len(self.tempers)) - 1](reader, writer)
        else:
            await answers(405)(reader, writer)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split(" ")[0], headers, body)


@asynccontextmanager
async def receiving(*tempers: Temper, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(tempers, scheme="https" if tls else "http")
    async with listening(receiver, receiver.serve, tls):
        yield receiver


@asynccontextmanager
async def breaking_hellos() -> AsyncIterator[Receiver]:
    """A server of https that answers a TLS hello with nonsense."""
    receiver = Receiver((), scheme="https")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x16\x03\x03\x00\x05hello")
        await writer.drain()

    async with listening(receiver, serve):
        yield receiver


@asynccontextmanager
async def listening(
    receiver: Receiver,
    serve: Temper,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[None]:
    under_way: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.current_task())
        receiver.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, HOST, 0, ssl=tls)
    async with server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield
        await asyncio.gather(*filter(None, under_way))


# --- tempers


def answers(status: int, body: bytes = b"", **headers: str) -> Temper:
    """Answer with a status, a body and headers (`_` for `-`)."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *lines]

    async def temper(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()

    return temper


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Answer nothing until the other side gives up."""
    await reader.read()


async def closes_early(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer half a line."""
    writer.write(b"HTTP/1.1 20")
    await writer.drain()


@dataclass
class Floods:
    """Answers with a status and 100 MB, or as much of it as is taken."""

    status: int
    size: int = 100_000_000
    sent: int = 0

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {self.status} Word\r\nContent-Length: {self.size}\r\n\r\n".encode())
        while self.sent < self.size and not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()
            self.sent += 65536


# --- certificates, as strict as Python 3.13 has them

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
    """A server's context, and the file of the authority that has to be trusted for it."""

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
    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=90))
        .not_valid_after(now + dt.timedelta(days=days, hours=1))
    )
