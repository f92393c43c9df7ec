"""Callbacks over HTTP, to the addresses that the rules permit; knows nothing of deliveries."""

import asyncio
import re
import socket
import ssl
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from opswatch.adapters.answers import AnswerConnector, joined_headers, unpack
from opswatch.adapters.host_limiter import HostLimiter
from opswatch.adapters.resolver import CallbackResolver
from opswatch.core.callback_policy import CallbackRules, CallbackTarget
from opswatch.core.hosts import Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import host_key

MAX_BODY = 4096  # bytes of an answer that are read
MAX_ERROR = 512  # characters
_CONNECTIONS_PER_HOST = 32  # so a receiver that hangs delays only its own deliveries
_HEADERS = {"User-Agent": "opswatch", "Accept-Encoding": "identity"}


def open_socket(addr_info: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket of the family that `addr_info` needs; `AddressGuard` decides for which."""
    family, kind, protocol, _, _ = addr_info
    return socket.socket(family, kind, protocol)


class HttpCallbacks:
    """Posts callbacks: created inside a running event loop, closed by `close`.

    Every attempt resolves the name and opens a new connection, so that an address is checked each
    time it is used. Of several addresses the forbidden ones are left out and the others are tried;
    if none is left, the attempt is refused.
    """

    def __init__(
        self,
        rules: CallbackRules,
        *,
        timeout: timedelta = timedelta(seconds=15),
        open_socket: aiohttp.SocketFactoryType = open_socket,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._timeout = timeout
        self._limiter = HostLimiter(_CONNECTIONS_PER_HOST)
        self._resolver = resolver or CallbackResolver()
        tls = tls or system_tls()
        self._sessions = {
            scheme: _session(AddressGuard(rules, scheme, open_socket), self._resolver, tls)
            for scheme in ("https", "http")
        }

    def slot(self, url: str) -> AbstractAsyncContextManager[Slot]:
        """Enter with a slot for one attempt at the URL's host, or soon without one."""
        return self._limiter.slot(host_key(url).row)

    async def post(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """Send `request`; every outcome is a value.

        The URL is sent as it was given, its host in ASCII (and without a `?` at its end).
        """
        return await self._send("POST", request)

    async def ask(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """Send `request` as OPTIONS, with which CloudEvents' web hooks ask for consent."""
        return await self._send("OPTIONS", request)

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()

    async def _send(self, method: str, request: CallbackRequest) -> HttpResponse | NoAnswer:
        # The rules may have changed since the URL was registered.
        if refusal := self._rules.refusal(request.url):
            return NoAnswer("refused", _printable(refusal))
        target = CallbackTarget.parse(request.url)
        deadline = asyncio.get_running_loop().time() + self._timeout.total_seconds()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._sessions[target.scheme].request(
                    method,
                    URL(target.url, encoded=True),
                    data=request.body or None,
                    headers=request.headers,
                    allow_redirects=False,
                )
            try:
                body = await _read_beginning(response.content, deadline)
            finally:
                response.close()  # and the connection with it, even if more is to come
        except TimeoutError:
            return NoAnswer("timeout", f"no answer within {self._timeout.total_seconds():g} s")
        except (aiohttp.ClientError, OSError) as error:
            return _no_answer(error)
        headers = joined_headers(response.headers.items())
        return HttpResponse(
            response.status, headers, unpack(body, headers, MAX_BODY).content[:MAX_BODY]
        )


class _RefusedError(OSError):
    """No connection is made to this address; an OSError, so that aiohttp tries the next one."""


class AddressGuard:
    """Opens sockets for one scheme, to permitted addresses alone."""

    def __init__(
        self, rules: CallbackRules, scheme: str, open_socket: aiohttp.SocketFactoryType
    ) -> None:
        self._rules = rules
        self._scheme = scheme
        self._open_socket = open_socket

    def verdict(self, address: str) -> str | None:
        """Name why `address` is refused, as `CallbackRules.verdict` does."""
        return self._rules.verdict(address, scheme=self._scheme)

    def open(self, addr_info: aiohttp.AddrInfoType) -> socket.socket:
        """Open a socket for `addr_info`, the address that `connect` gets next.

        No answer of a name server and no interpretation of a URL can bypass this check.
        """
        address = str(addr_info[4][0])
        if reason := self.verdict(address):
            raise _RefusedError(f"{reason} ({address})")
        return self._open_socket(addr_info)


class _PermittedAddresses(AbstractResolver):
    """Leaves out forbidden addresses, so that aiohttp reports errors only for permitted ones."""

    def __init__(self, guard: AddressGuard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not found:
            raise OSError("the name has no address")
        judged = [(result, self._guard.verdict(result["host"])) for result in found]
        permitted = [result for result, reason in judged if reason is None]
        if not permitted:
            raise _RefusedError(
                ", ".join(f"{reason} ({result['host']})" for result, reason in judged)
            )
        return permitted

    async def close(self) -> None:
        """Leave the resolver open: both sessions share it."""


def system_tls() -> ssl.SSLContext:
    """Return a context that verifies against the system's CAs, with TLS 1.2 or later."""
    tls = ssl.create_default_context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _session(
    guard: AddressGuard, resolver: AbstractResolver, tls: ssl.SSLContext
) -> aiohttp.ClientSession:
    """Return a session that reads nothing from the environment and keeps no state."""
    connector = AnswerConnector(
        cut_head_counts=True,
        resolver=_PermittedAddresses(guard, resolver),
        socket_factory=guard.open,
        use_dns_cache=False,
        force_close=True,
        limit_per_host=_CONNECTIONS_PER_HOST,
        ssl=tls,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # neither proxies nor netrc
        auto_decompress=False,  # `unpack` does that, within a limit
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(),  # none: `_send` has one for the whole exchange
    )


async def _read_beginning(content: aiohttp.StreamReader, deadline: float) -> bytes:
    """Read the first `MAX_BODY` bytes, or as many as arrive before the `deadline`.

    The status line has been read: an answer that breaks off after it, or never ends, counts.
    """
    body = bytearray()
    with suppress(aiohttp.ClientError, OSError):  # a TimeoutError is an OSError
        async with asyncio.timeout_at(deadline):
            while len(body) < MAX_BODY and (chunk := await content.read(MAX_BODY - len(body))):
                body += chunk
    return bytes(body)


def _no_answer(error: aiohttp.ClientError | OSError) -> NoAnswer:
    """Return which layer failed. No aiohttp error is quoted whole: some contain the URL."""
    match error:
        case aiohttp.ClientConnectorError(os_error=_RefusedError() as refused):
            return NoAnswer("refused", _printable(str(refused)))
        case aiohttp.ClientConnectorDNSError(os_error=cause):
            return NoAnswer("dns", _reason(cause))
        case aiohttp.ClientConnectorCertificateError(certificate_error=OSError() as cause):
            return NoAnswer("tls", _reason(cause))  # without an `os_error` before aiohttp 3.13.1
        case aiohttp.ClientSSLError(os_error=cause):
            return NoAnswer("tls", _reason(cause))
        case aiohttp.ClientConnectorError(os_error=cause):
            return NoAnswer("connect", _reason(cause))
        case aiohttp.ClientResponseError(message=message):
            # Without the quoted part of the parser's message, which may contain the URL.
            unquoted = re.split(r"[:\n'\"]", message, maxsplit=1)[0]
            return NoAnswer("http", f"not HTTP: {_printable(unquoted)}")
        case aiohttp.ServerDisconnectedError():
            return NoAnswer("http", "the receiver closed the connection without an answer")
        case OSError():
            return NoAnswer("http", _reason(error))
        case _:
            return NoAnswer("http", type(error).__name__)


def _reason(error: OSError) -> str:
    return _printable(error.strerror or str(error) or type(error).__name__)


def _printable(text: str) -> str:
    """Return `text` with unprintable characters escaped, cut to `MAX_ERROR` characters."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)[:MAX_ERROR]
