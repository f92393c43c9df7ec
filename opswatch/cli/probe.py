"""Follows the path of a callback layer by layer, through the guard that callbacks pass."""

import asyncio
import os
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp.abc import AbstractResolver

from opswatch.adapters.callbacks import AddressGuard, open_socket, system_tls
from opswatch.cli.terminal import Mark, Reporter, elapsed
from opswatch.core.callback_policy import CallbackRules, CallbackTarget
from opswatch.core.http import Layer, NoAnswer
from opswatch.core.texts import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How names are resolved, sockets opened and certificates verified."""

    resolver: AbstractResolver = field(default_factory=aiohttp.ThreadedResolver)
    open_socket: aiohttp.SocketFactoryType = open_socket
    tls: ssl.SSLContext = field(default_factory=system_tls)
    timeout: timedelta = timedelta(seconds=15)  # from the look-up to the handshake


async def reach(
    url: str, rules: CallbackRules, network: Network, report: Reporter
) -> NoAnswer | None:
    """Resolve, check, connect and shake hands; return the layer that failed, or None.

    Each layer is reported when it is done. No request is sent.
    """
    if refusal := rules.refusal(url):
        report(Mark.BAD, "rules", refusal)
        return NoAnswer("refused", refusal)
    report(Mark.GOOD, "rules", "the URL may be registered")
    target = CallbackTarget.parse(url)
    guard = AddressGuard(rules, target.scheme, network.open_socket)
    try:
        async with asyncio.timeout(network.timeout.total_seconds()):
            found = await _resolve(target, guard, network.resolver, report)
            if isinstance(found, NoAnswer):
                return found
            connected = await _connect(found, guard, report)
            if isinstance(connected, NoAnswer):
                return connected
            with connected:
                if target.scheme == "https":
                    return await _shake_hands(target.host, connected, network.tls, report)
    except TimeoutError:
        error = f"no connection within {network.timeout.total_seconds():g} s"
        report(Mark.BAD, "timeout", error)
        return NoAnswer("timeout", error)
    report(Mark.INFO, "tls", "none: http, in a network that the settings permit")
    return None


async def _resolve(
    target: CallbackTarget, guard: AddressGuard, resolver: AbstractResolver, report: Reporter
) -> list[aiohttp.AddrInfoType] | NoAnswer:
    """Return the permitted addresses of the host."""
    began = time.perf_counter()
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        answers = await resolver.resolve(target.host, port, socket.AF_UNSPEC)
    except OSError as error:
        return _fail("dns", error, report)
    if target.address:
        report(Mark.INFO, "dns", "none: the host is an address")
    else:
        addresses = ", ".join(answer["host"] for answer in answers)
        report(Mark.GOOD, "dns", f"{target.host} is {addresses} ({elapsed(began)})")
    permitted: list[aiohttp.AddrInfoType] = []
    for answer in answers:
        address = answer["host"]
        if reason := guard.verdict(address):
            report(Mark.BAD, "address", f"{address} {reason}")
        else:
            report(Mark.GOOD, "address", f"{address} is permitted")
            name = (address, answer["port"])
            permitted.append((answer["family"], socket.SOCK_STREAM, 0, "", name))
    return permitted or NoAnswer("refused", "no address is permitted")


async def _connect(
    infos: list[aiohttp.AddrInfoType], guard: AddressGuard, report: Reporter
) -> socket.socket | NoAnswer:
    """Connect to the first address that accepts a connection."""
    failed = NoAnswer("connect", "no address")
    for info in infos:
        began = time.perf_counter()
        try:
            opened = guard.open(info)
            try:
                opened.setblocking(False)
                await asyncio.get_running_loop().sock_connect(opened, info[4])
            except BaseException:
                opened.close()
                raise
        except OSError as error:
            failed = _fail("connect", error, report)
        else:
            report(Mark.GOOD, "connect", f"{info[4][0]} port {info[4][1]} ({elapsed(began)})")
            return opened
    return failed


async def _shake_hands(
    host: str, connected: socket.socket, tls: ssl.SSLContext, report: Reporter
) -> NoAnswer | None:
    """Shake hands as a TLS client, and report the certificate."""
    began = time.perf_counter()
    try:
        _, writer = await asyncio.open_connection(sock=connected, ssl=tls, server_hostname=host)
    except OSError as error:  # an ssl.SSLError is one
        return _fail("tls", error, report)
    spoken = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    certificate = spoken.getpeercert()
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    subject, issuer = _common_name(certificate["subject"]), _common_name(certificate["issuer"])
    report(
        Mark.GOOD,
        "tls",
        f"{spoken.version()}, certificate of {subject} by {issuer}, "
        f"{(ends_at - datetime.now(UTC)).days} days left ({elapsed(began)})",
    )
    return None


def _common_name(pairs: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return the common name in a distinguished name, or else its last part."""
    parts = {kind: value for relative in pairs for kind, value in relative}
    name = parts.get("commonName") or next(reversed(parts.values()), "no name")
    return one_line(name, 100)


def _fail(layer: Layer, error: OSError, report: Reporter) -> NoAnswer:
    """Report the layer that failed, and return it."""
    match error:
        case ssl.SSLCertVerificationError(verify_message=message):
            reason = message
        case ConnectionError(errno=int() as number):  # asyncio's text repeats the address
            reason = os.strerror(number)
        case _:
            reason = error.strerror or str(error) or type(error).__name__
    text = one_line(reason)
    report(Mark.BAD, layer, text)
    return NoAnswer(layer, text)
