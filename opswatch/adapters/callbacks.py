"""Callbacks over HTTP, to the addresses that the rules permit; knows nothing of deliveries."""

import asyncio
import re
import socket
import ssl
from collections import Counter
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import overload

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from opswatch.adapters.answers import AnswerConnector, joined_headers, unpack
from opswatch.adapters.host_limiter import HostLimiter
from opswatch.adapters.resolver import PATIENCE, CallbackResolver, LookUps
from opswatch.core.callback_policy import CallbackRules, CallbackTarget
from opswatch.core.hosts import Acquired, Busy, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import host_key, parent_domain

MAX_BODY = 4096  # bytes of an answer that are read
MAX_ERROR = 512  # characters
_ADDRESSES = 3  # of each family that are tried, a quarter of a second after each other
_PORTS = {"https": 443, "http": 80}
_HEADERS = {"User-Agent": "opswatch", "Accept-Encoding": "identity"}
_found: ContextVar[list[ResolveResult]] = ContextVar("addresses of the attempt under way")


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
        self._limiter = HostLimiter()
        self._look_ups = LookUps(resolver or CallbackResolver())
        tls = tls or system_tls()
        self._guards = {
            scheme: AddressGuard(rules, scheme, open_socket) for scheme in ("https", "http")
        }
        self._sessions = {scheme: _session(guard, tls) for scheme, guard in self._guards.items()}

    def slot(self, url: str, *, forced: bool = False) -> AbstractAsyncContextManager[Slot]:
        """Enter with a slot for one attempt at the URL's host, or soon without one."""
        try:
            target = CallbackTarget.parse(url)
            domain = parent_domain(target.host) if target.address is None else None
        except ValueError:
            domain = None  # the rules have changed since: the attempt is refused
        return self._limiter.slot(host_key(url).row, domain, forced=forced)

    @overload
    async def post(self, request: CallbackRequest) -> HttpResponse | NoAnswer: ...

    @overload
    async def post(
        self, request: CallbackRequest, slot: Acquired
    ) -> HttpResponse | NoAnswer | Busy: ...

    async def post(
        self, request: CallbackRequest, slot: Acquired | None = None
    ) -> HttpResponse | NoAnswer | Busy:
        """Send `request` in its slot, or forced if it has none; every outcome is a value.

        The URL is sent as it was given, its host in ASCII (and without a `?` at its end).
        """
        slot = slot or Acquired(is_forced=True)
        answer = await self._send("POST", request, slot)
        return self._not_found if isinstance(answer, Busy) and slot.is_forced else answer

    async def ask(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """Send `request` as OPTIONS, with which CloudEvents' web hooks ask for consent."""
        answer = await self._send("OPTIONS", request, Acquired(is_forced=True))
        return self._not_found if isinstance(answer, Busy) else answer

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        await self._look_ups.close()

    @property
    def _not_found(self) -> NoAnswer:
        """What a forced attempt ends with if no name server answers."""
        return NoAnswer(
            "dns", f"no name server answered within {self._timeout.total_seconds():g} s"
        )

    async def _send(
        self, method: str, request: CallbackRequest, slot: Acquired
    ) -> HttpResponse | NoAnswer | Busy:
        # The rules may have changed since the URL was registered.
        if refusal := self._rules.refusal(request.url):
            return NoAnswer("refused", _printable(refusal))
        target = CallbackTarget.parse(request.url)
        deadline = asyncio.get_running_loop().time() + self._timeout.total_seconds()
        found = await self._find(target, slot)
        if not isinstance(found, list):
            return found
        token = _found.set(found)
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
        except Exception as error:  # the receiver may have the request, so it counts
            return _no_answer(error)
        finally:
            _found.reset(token)
        headers = joined_headers(response.headers.items())
        return HttpResponse(
            response.status, headers, unpack(body, headers, MAX_BODY).content[:MAX_BODY]
        )

    async def _find(
        self, target: CallbackTarget, slot: Acquired
    ) -> list[ResolveResult] | NoAnswer | Busy:
        """Return the addresses to try: permitted, and with room for an attempt."""
        port = target.port or _PORTS[target.scheme]
        if target.address is not None:  # aiohttp connects to it without a look-up
            entered = self._limiter.enter_addresses(slot, [f"{target.address} {port}"])
            return entered if isinstance(entered, Busy) else []
        seconds = self._timeout.total_seconds()
        patience = seconds if slot.is_forced else min(PATIENCE, seconds)
        found = await self._look_ups.find(target.host, port, patience, forced=slot.is_forced)
        match found:
            case Busy():
                self._limiter.record_unanswered(slot)
                return found
            case OSError():
                return NoAnswer("dns", _reason(found))
            case []:
                return NoAnswer("dns", "the name has no address")
        guard, permitted, refused = self._guards[target.scheme], dict[str, ResolveResult](), []
        tried: Counter[int] = Counter()  # by family
        for result in found:
            address = result["host"]
            if reason := guard.verdict(address):
                refused.append(f"{reason} ({address})")
            elif tried[result["family"]] < _ADDRESSES:
                tried[result["family"]] += 1
                permitted[f"{address} {port}"] = result
        if not permitted:
            return NoAnswer("refused", _printable(", ".join(refused)))
        entered = self._limiter.enter_addresses(slot, permitted)
        return entered if isinstance(entered, Busy) else [permitted[name] for name in entered]


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


class _FoundAddresses(AbstractResolver):
    """Gives aiohttp the addresses of the attempt under way, which have been looked up before."""

    async def resolve(
        self,
        host: str,  # noqa: ARG002 - aiohttp's
        port: int = 0,  # noqa: ARG002
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        return _found.get()

    async def close(self) -> None:
        """Do nothing: nothing is held."""


def system_tls() -> ssl.SSLContext:
    """Return a context that verifies against the system's CAs, with TLS 1.2 or later."""
    tls = ssl.create_default_context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _session(guard: AddressGuard, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return a session that reads nothing from the environment and keeps no state.

    It has no limit: an attempt that waited for a connection would time out, as if the
    receiver had not answered.
    """
    connector = AnswerConnector(
        cut_head_counts=True,
        resolver=_FoundAddresses(),
        socket_factory=guard.open,
        use_dns_cache=False,
        force_close=True,
        limit=0,
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


def _no_answer(error: Exception) -> NoAnswer:
    """Return which layer failed. No aiohttp error is quoted whole: some contain the URL."""
    match error:
        case aiohttp.ClientConnectorError(os_error=_RefusedError() as refused):
            return NoAnswer("refused", _printable(str(refused)))
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
