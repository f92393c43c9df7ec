"""Takes the way of a callback layer by layer, through the gate that callbacks go through."""

import asyncio
import os
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from opswatch.adapters.callbacks import AddressGuard, open_socket, system_tls
from opswatch.commands.terminal import Mark, Say, since
from opswatch.core.callback_policy import CallbackRules, CallbackTarget
from opswatch.core.http import Layer, NoAnswer
from opswatch.core.texts import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How names are resolved, sockets opened and certificates judged."""

    resolver: AbstractResolver = field(default_factory=aiohttp.ThreadedResolver)
    open_socket: aiohttp.SocketFactoryType = open_socket
    tls: ssl.SSLContext = field(default_factory=system_tls)
    timeout: timedelta = timedelta(seconds=15)


async def reach(url: str, rules: CallbackRules, network: Network, say: Say) -> NoAnswer | None:
    """Resolve, judge, connect and shake hands; return the layer that failed, or None.

    `say` is told of each layer as it goes. Nothing is sent.
    """
    if refusal := rules.refusal(url):
        say(Mark.BAD, "rules", refusal)
        return NoAnswer("refused", refusal)
    say(Mark.GOOD, "rules", "the URL may be registered")
    target = CallbackTarget.parse(url)
    gate = AddressGuard(rules, target.scheme, network.open_socket)
    try:
        async with asyncio.timeout(network.timeout.total_seconds()):
            return await _reach(target, gate, network, say)
    except TimeoutError:
        error = f"not through within {network.timeout.total_seconds():g} s"
        say(Mark.BAD, "time-out", error)
        return NoAnswer("timeout", error)


async def _reach(
    target: CallbackTarget, gate: AddressGuard, network: Network, say: Say
) -> NoAnswer | None:
    found = await _resolve(target, network.resolver, say)
    if isinstance(found, NoAnswer):
        return found
    permitted = [info for info in found if _is_permitted(info, gate, say)]
    if not permitted:
        return NoAnswer("refused", "no address is permitted")
    connected = await _connect(permitted, gate, say)
    if isinstance(connected, NoAnswer):
        return connected
    with connected:
        if target.scheme == "http":
            say(Mark.ASIDE, "tls", "none: http, within a network that the settings permit")
            return None
        return await _shake_hands(target, connected, network.tls, say)


async def _resolve(
    target: CallbackTarget, resolver: AbstractResolver, say: Say
) -> list[aiohttp.AddrInfoType] | NoAnswer:
    began = time.perf_counter()
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        answers = await resolver.resolve(target.host, port, socket.AF_UNSPEC)
    except OSError as error:
        return _failed("dns", error, say)
    if target.address:
        say(Mark.ASIDE, "dns", "none: the host is an address")
    else:
        addresses = ", ".join(answer["host"] for answer in answers)
        say(Mark.GOOD, "dns", f"{target.host} is {addresses} ({since(began)})")
    return [
        (answer["family"], socket.SOCK_STREAM, 0, "", (answer["host"], answer["port"]))
        for answer in answers
    ]


def _is_permitted(info: aiohttp.AddrInfoType, gate: AddressGuard, say: Say) -> bool:
    address = str(info[4][0])
    reason = gate.verdict(address)
    say(Mark.BAD if reason else Mark.GOOD, "address", f"{address} {reason or 'is permitted'}")
    return reason is None


async def _connect(
    infos: list[aiohttp.AddrInfoType], gate: AddressGuard, say: Say
) -> socket.socket | NoAnswer:
    """Connect to the first address that takes a connection."""
    failed = NoAnswer("connect", "no address")
    for info in infos:
        began = time.perf_counter()
        try:
            opened = await _open(info, gate)
        except OSError as error:
            failed = _failed("connect", error, say)
        else:
            say(Mark.GOOD, "connect", f"{info[4][0]} port {info[4][1]} ({since(began)})")
            return opened
    return failed


async def _open(info: aiohttp.AddrInfoType, gate: AddressGuard) -> socket.socket:
    opened = gate.open(info)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, info[4])
    except BaseException:
        opened.close()
        raise
    return opened


async def _shake_hands(
    target: CallbackTarget, connected: socket.socket, tls: ssl.SSLContext, say: Say
) -> NoAnswer | None:
    began = time.perf_counter()
    try:
        _, writer = await asyncio.open_connection(
            sock=connected, ssl=tls, server_hostname=target.host
        )
    except OSError as error:  # an ssl.SSLError is one
        return _failed("tls", error, say)
    spoken = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    certificate = _certificate(spoken.getpeercert(), datetime.now(UTC))
    say(Mark.GOOD, "tls", f"{spoken.version()}, {certificate} ({since(began)})")
    return None


def _certificate(certificate: dict[str, Any], now: datetime) -> str:
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    subject, issuer = _name(certificate["subject"]), _name(certificate["issuer"])
    return f"certificate of {subject} by {issuer}, {(ends_at - now).days} days left"


def _name(pairs: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return the common name out of a distinguished name, or else its last part."""
    parts = {kind: value for relative in pairs for kind, value in relative}
    name = parts.get("commonName") or next(reversed(parts.values()), "nobody")
    return one_line(name, 100)


def _failed(layer: Layer, error: OSError, say: Say) -> NoAnswer:
    text = one_line(_reason(error))
    say(Mark.BAD, layer, text)
    return NoAnswer(layer, text)


def _reason(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError(verify_message=message):
            return message
        case ConnectionError(errno=int() as number):  # asyncio's text repeats the address
            return os.strerror(number)
        case _:
            return error.strerror or str(error) or type(error).__name__
