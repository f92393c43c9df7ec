"""The command verify: a line for each layer, and no connection to a forbidden address."""

import re
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from rich.console import Console
from standardwebhooks.webhooks import Webhook

from opswatch.cli.commands.verify import verify
from opswatch.cli.probe import Network
from opswatch.config import Settings
from tests.cli.conftest import SECRET, CommandResult, Run
from tests.support.receivers import (
    BrokenTlsReceiver,
    Receiver,
    answers,
    certified,
    closes_early,
    hangs,
)


def layers(result: CommandResult) -> list[str]:
    """Return the mark and the topic of each line."""
    return [" ".join(line.split()[:2]) for line in result.lines]


def text(result: CommandResult, topic: str) -> str:
    (found,) = [line.split(maxsplit=2)[2] for line in result.lines if line.split()[1] == topic]
    return found


async def test_accepting_receiver_passes_every_layer(run: Run) -> None:
    async with Receiver(answers(200, b"thank\x1b[2J you")) as receiver:
        result = await run("verify", receiver.url)
    assert result.code == 0, result.out
    assert layers(result) == [
        *("✓ rules", "· dns", "✓ address", "✓ connect", "· tls", "· OPTIONS", "✓ POST"),
        "✓ verdict",
    ]
    assert text(result, "address") == "127.0.0.1 is permitted"
    assert re.fullmatch(r"200 \(\d+ ms\) thank\\x1b\[2J you", text(result, "POST"))
    assert text(result, "verdict") == "delivered"


async def test_event_is_a_signed_test(run: Run) -> None:
    async with Receiver(answers(204)) as receiver:
        assert (await run("verify", receiver.url)).code == 0
    (post,) = receiver.posts
    event = Webhook(SECRET.text).verify(post.body.decode(), post.headers)
    assert (event["type"], event["id"]) == ("opswatch.test", post.headers["webhook-id"])


async def test_missing_secret_is_generated_and_printed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPSWATCH_CALLBACK_SECRETS")
    async with Receiver(answers(204)) as receiver:
        result = await run("verify", receiver.url)
    (secret,) = re.findall(r"whsec_\S+?(?=,)", result.lines[0])
    (post,) = receiver.posts
    assert Webhook(secret).verify(post.body.decode(), post.headers)


async def test_verify_needs_no_storage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AzureWebJobsStorage")
    async with Receiver(answers(204)) as receiver:
        assert (await run("verify", receiver.url)).code == 0


@pytest.fixture
async def consenting() -> AsyncIterator[str]:
    """A receiver that has the handshake of CloudEvents, and allows one origin to each path."""

    async def options(request: web.Request) -> web.Response:
        assert request.headers["WebHook-Request-Origin"] == "opswatch"
        return web.Response(headers={"WebHook-Allowed-Origin": request.match_info["origin"]})

    async def post(_: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("OPTIONS", "/{origin}", options)
    app.router.add_post("/{origin}", post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(("origin", "mark"), [("*", "✓"), ("opswatch", "✓"), ("other", "✗")])
async def test_consent_handshake_is_reported(
    run: Run, consenting: str, origin: str, mark: str
) -> None:
    result = await run("verify", f"{consenting}/{origin}")
    assert f"{mark} OPTIONS" in layers(result)
    assert text(result, "OPTIONS").startswith(f"allows {origin} (")
    assert result.code == 0  # the handshake is optional: the POST decides


# --- unaccepted events


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (410, "abandoned at once: 410"),
        (400, "abandoned after 3 attempts: 400"),
        (500, "retried, up to 10 attempts over 3d3h: 500"),
        (302, "retried, up to 10 attempts over 3d3h: 302"),
        (401, "retried, in 5m at the earliest, up to 10 attempts over 3d3h: 401"),
    ],
)
async def test_verdict_explains_next_step(run: Run, status: int, verdict: str) -> None:
    async with Receiver(answers(status, Location="http://169.254.169.254/")) as receiver:
        result = await run("verify", receiver.url)
    assert result.code == 1
    assert layers(result)[-2:] == ["✗ POST", "✗ verdict"]
    assert text(result, "verdict") == verdict
    assert len(receiver.posts) == 1


async def test_retry_after_delays_next_attempt(run: Run) -> None:
    async with Receiver(answers(429, Retry_After="120")) as receiver:
        result = await run("verify", receiver.url)
    assert text(result, "verdict").startswith("retried, in 2m at the earliest, ")


async def test_early_close_is_not_accepted(run: Run) -> None:
    async with Receiver(closes_early) as receiver:
        result = await run("verify", receiver.url)
    assert result.code == 1
    assert text(result, "POST").startswith("http: ")


async def test_closed_port_fails_before_any_request(run: Run) -> None:
    async with Receiver() as receiver:
        url = receiver.url
    result = await run("verify", url)
    assert result.code == 1
    assert layers(result)[-2:] == ["✗ connect", "✗ verdict"]
    assert text(result, "connect") == "Connection refused"


# --- TLS


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A certificate for localhost by an authority that the system trusts."""
    made = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    return made.server


async def test_certificate_is_reported_with_days_left(run: Run, trusted: Any) -> None:
    async with Receiver(answers(204), tls=trusted) as receiver:
        result = await run("verify", f"https://localhost:{receiver.port}/hook")
    assert result.code == 0, result.out
    assert re.fullmatch(
        r"TLSv1\.3, certificate of localhost by Throw-away CA, 30 days left \(\d+ ms\)",
        text(result, "tls"),
    )


async def test_untrusted_certificate_ends_verification(run: Run, tmp_path: Path) -> None:
    async with Receiver(answers(204), tls=certified(tmp_path).server) as receiver:
        result = await run("verify", f"https://localhost:{receiver.port}/hook")
    assert (result.code, receiver.requests) == (1, [])
    assert layers(result)[-2:] == ["✗ tls", "✗ verdict"]
    assert "unable to get local issuer certificate" in text(result, "tls")
    assert text(result, "verdict").startswith("retried, ")


async def test_certificate_of_other_name_ends_verification(run: Run, trusted: Any) -> None:
    async with Receiver(answers(204), tls=trusted) as receiver:
        result = await run("verify", f"https://127.0.0.1:{receiver.port}/hook")
    assert (result.code, receiver.requests) == (1, [])
    assert "not valid for '127.0.0.1'" in text(result, "tls")


async def test_broken_hello_ends_verification(run: Run) -> None:
    async with BrokenTlsReceiver() as receiver:
        result = await run("verify", receiver.url)
    assert result.code == 1
    assert layers(result)[-2:] == ["✗ tls", "✗ verdict"]


# --- forbidden addresses


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/metadata", "https://10.0.0.1/", "https://u:p@a.example/", "x"]
)
async def test_unregistrable_url_ends_verification(run: Run, url: str) -> None:
    result = await run("verify", url)
    assert result.code == 1
    assert layers(result) == ["✗ rules", "✗ verdict"]
    assert text(result, "verdict").startswith("abandoned at once: refused: ")


class Names(AbstractResolver):
    """A name server for one name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if not self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def verify_offline(
    url: str,
    names: Names,
    settings: dict[str, str],
    timeout: float = 15,  # noqa: ASYNC109 - a value
) -> tuple[CommandResult, list[str]]:
    """Verify `url` without a network; return the output and the addresses that were tried."""
    wanted: list[str] = []

    def withhold(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        wanted.append(addr_info[4][0])
        raise ConnectionRefusedError(111, "withheld")

    network = Network(resolver=names, open_socket=withhold, timeout=timedelta(seconds=timeout))
    out = Console(file=StringIO(), soft_wrap=True, highlight=False, markup=False)
    is_accepted = await verify(url, Settings.from_env(settings), (SECRET,), network, out)
    assert isinstance(out.file, StringIO)
    return CommandResult(0 if is_accepted else 1, out.file.getvalue(), ""), wanted


async def test_forbidden_addresses_are_reported_and_skipped(
    settings: dict[str, str],
) -> None:
    names = Names("10.1.2.3", "203.0.114.7", "169.254.169.254", "2606:4700::1111")
    result, wanted = await verify_offline("https://hook.example/", names, settings)
    assert [line for line in result.lines if "address " in line] == [
        "✗ address    10.1.2.3 private",
        "✓ address    203.0.114.7 is permitted",
        "✗ address    169.254.169.254 metadata",
        "✓ address    2606:4700::1111 is permitted",
    ]
    assert wanted == ["203.0.114.7", "2606:4700::1111"]
    assert result.code == 1


async def test_forbidden_addresses_are_never_connected(settings: dict[str, str]) -> None:
    names = Names("10.1.2.3", "168.63.129.16")
    result, wanted = await verify_offline("https://hook.example/", names, settings)
    assert (result.code, wanted) == (1, [])
    assert layers(result)[-1] == "✗ verdict"
    assert text(result, "verdict") == "abandoned at once: refused: no address is permitted"


async def test_unresolvable_name_ends_verification(settings: dict[str, str]) -> None:
    result, wanted = await verify_offline("https://hook.example/", Names(), settings)
    assert (layers(result), wanted) == (["✓ rules", "✗ dns", "✗ verdict"], [])
    assert text(result, "dns") == "Name or service not known"


async def test_hanging_receiver_times_out(settings: dict[str, str]) -> None:
    network = Network(timeout=timedelta(milliseconds=100))
    out = Console(file=StringIO(), soft_wrap=True, highlight=False, markup=False)
    async with Receiver(hangs) as receiver:
        assert not await verify(receiver.url, Settings.from_env(settings), (SECRET,), network, out)
    assert "POST       timeout: no answer within 0.1 s" in out.file.getvalue()  # type: ignore[attr-defined]


async def test_hanging_handshake_times_out(settings: dict[str, str]) -> None:
    network = Network(timeout=timedelta(milliseconds=100))
    out = Console(file=StringIO(), soft_wrap=True, highlight=False, markup=False)
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as server:  # the backlog connects, and no server answers
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        assert not await verify(url, Settings.from_env(settings), (SECRET,), network, out)
    assert "✗ timeout    no connection within 0.1 s" in out.file.getvalue()  # type: ignore[attr-defined]
