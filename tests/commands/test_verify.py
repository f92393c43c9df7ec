"""Trying receivers out: what is said of each layer, and that nothing forbidden is dialled."""

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

from opswatch.commands.probe import Network
from opswatch.commands.verify import verify
from opswatch.config import Settings
from tests.commands.conftest import SECRET, Ran, Run
from tests.support.receivers import (
    answers,
    breaking_hellos,
    certified,
    closes_early,
    hangs,
    receiving,
)


def layers(ran: Ran) -> list[str]:
    """Return the mark and the topic of each line."""
    return [" ".join(line.split()[:2]) for line in ran.lines]


def text(ran: Ran, topic: str) -> str:
    (found,) = [line.split(maxsplit=2)[2] for line in ran.lines if line.split()[1] == topic]
    return found


async def test_each_layer_is_told_to_the_end(run: Run) -> None:
    async with receiving(answers(200, b"thank\x1b[2J you")) as receiver:
        ran = await run("verify", receiver.url)
    assert ran.code == 0, ran.out
    assert layers(ran) == [
        *("✓ rules", "· dns", "✓ address", "✓ connect", "· tls", "· OPTIONS", "✓ POST"),
        "✓ verdict",
    ]
    assert text(ran, "address") == "127.0.0.1 is permitted"
    assert re.fullmatch(r"200 \(\d+ ms\) thank\\x1b\[2J you", text(ran, "POST"))
    assert text(ran, "verdict") == "delivered"


async def test_the_event_is_a_signed_test(run: Run) -> None:
    async with receiving(answers(204)) as receiver:
        assert (await run("verify", receiver.url)).code == 0
    (post,) = receiver.posts
    event = Webhook(SECRET.text).verify(post.body.decode(), post.headers)
    assert (event["type"], event["id"]) == ("opswatch.test", post.headers["webhook-id"])


async def test_without_a_secret_one_is_made_and_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPSWATCH_CALLBACK_SECRETS")
    async with receiving(answers(204)) as receiver:
        ran = await run("verify", receiver.url)
    (secret,) = re.findall(r"whsec_\S+?(?=,)", ran.lines[0])
    (post,) = receiver.posts
    assert Webhook(secret).verify(post.body.decode(), post.headers)


async def test_no_storage_is_needed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AzureWebJobsStorage")
    async with receiving(answers(204)) as receiver:
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
async def test_a_handshake_is_told_where_there_is_one(
    run: Run, consenting: str, origin: str, mark: str
) -> None:
    ran = await run("verify", f"{consenting}/{origin}")
    assert f"{mark} OPTIONS" in layers(ran)
    assert text(ran, "OPTIONS").startswith(f"allows {origin} (")
    assert ran.code == 0  # it is a courtesy: the POST decides


# --- what is not accepted


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (410, "abandoned at once: 410"),
        (400, "abandoned after 3 attempts: 400"),
        (500, "tried again, 10 times in all over 3 days, 3:35:05: 500"),
        (302, "tried again, 10 times in all over 3 days, 3:35:05: 302"),
        (401, "tried again, no sooner than in 0:05:00, 10 times in all over 3 days, 3:35:05: 401"),
    ],
)
async def test_what_would_become_of_it_is_told(run: Run, status: int, verdict: str) -> None:
    async with receiving(answers(status, Location="http://169.254.169.254/")) as receiver:
        ran = await run("verify", receiver.url)
    assert ran.code == 1
    assert layers(ran)[-2:] == ["✗ POST", "✗ verdict"]
    assert text(ran, "verdict") == verdict
    assert len(receiver.posts) == 1


async def test_who_asks_for_a_pause_is_given_it(run: Run) -> None:
    async with receiving(answers(429, Retry_After="120")) as receiver:
        ran = await run("verify", receiver.url)
    assert text(ran, "verdict").startswith("tried again, no sooner than in 0:02:00, ")


async def test_who_closes_early_has_not_accepted(run: Run) -> None:
    async with receiving(closes_early) as receiver:
        ran = await run("verify", receiver.url)
    assert ran.code == 1
    assert text(ran, "POST").startswith("http: ")


async def test_who_is_not_there_is_told_before_anything_is_sent(run: Run) -> None:
    async with receiving() as receiver:
        url = receiver.url
    ran = await run("verify", url)
    assert ran.code == 1
    assert layers(ran)[-2:] == ["✗ connect", "✗ verdict"]
    assert text(ran, "connect") == "Connection refused"


# --- TLS


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A certificate for localhost by an authority that the system trusts."""
    made = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    return made.server


async def test_a_certificate_is_told_and_how_long_it_holds(run: Run, trusted: Any) -> None:
    async with receiving(answers(204), tls=trusted) as receiver:
        ran = await run("verify", f"https://localhost:{receiver.port}/hook")
    assert ran.code == 0, ran.out
    assert re.fullmatch(
        r"TLSv1\.3, certificate of localhost by Throw-away CA, 30 days left \(\d+ ms\)",
        text(ran, "tls"),
    )


async def test_a_certificate_that_is_not_trusted_ends_it(run: Run, tmp_path: Path) -> None:
    async with receiving(answers(204), tls=certified(tmp_path).server) as receiver:
        ran = await run("verify", f"https://localhost:{receiver.port}/hook")
    assert (ran.code, receiver.requests) == (1, [])
    assert layers(ran)[-2:] == ["✗ tls", "✗ verdict"]
    assert "unable to get local issuer certificate" in text(ran, "tls")
    assert text(ran, "verdict").startswith("tried again, ")


async def test_a_certificate_of_another_name_ends_it(run: Run, trusted: Any) -> None:
    async with receiving(answers(204), tls=trusted) as receiver:
        ran = await run("verify", f"https://127.0.0.1:{receiver.port}/hook")
    assert (ran.code, receiver.requests) == (1, [])
    assert "not valid for '127.0.0.1'" in text(ran, "tls")


async def test_a_broken_hello_ends_it(run: Run) -> None:
    async with breaking_hellos() as receiver:
        ran = await run("verify", receiver.url)
    assert ran.code == 1
    assert layers(ran)[-2:] == ["✗ tls", "✗ verdict"]


# --- what must not be dialled


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/metadata", "https://10.0.0.1/", "https://u:p@a.example/", "x"]
)
async def test_a_url_that_cannot_be_registered_is_told_and_no_more(run: Run, url: str) -> None:
    ran = await run("verify", url)
    assert ran.code == 1
    assert layers(ran) == ["✗ rules", "✗ verdict"]
    assert text(ran, "verdict").startswith("abandoned at once: refused: ")


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


async def tried(
    url: str,
    names: Names,
    settings: dict[str, str],
    timeout: float = 15,  # noqa: ASYNC109 - a value
) -> tuple[Ran, list[str]]:
    """Verify `url` where nothing can be dialled; return what was said, and what would have been."""
    wanted: list[str] = []

    def withhold(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        wanted.append(addr_info[4][0])
        raise ConnectionRefusedError(111, "withheld")

    network = Network(resolver=names, open_socket=withhold, timeout=timedelta(seconds=timeout))
    out = Console(file=StringIO(), soft_wrap=True, highlight=False, markup=False)
    is_accepted = await verify(url, Settings.from_env(settings), (SECRET,), network, out)
    assert isinstance(out.file, StringIO)
    return Ran(0 if is_accepted else 1, out.file.getvalue(), ""), wanted


async def test_of_several_addresses_the_forbidden_ones_are_told_and_left_out(
    settings: dict[str, str],
) -> None:
    names = Names("10.1.2.3", "203.0.114.7", "169.254.169.254", "2606:4700::1111")
    ran, wanted = await tried("https://hook.example/", names, settings)
    assert [line for line in ran.lines if "address " in line] == [
        "✗ address    10.1.2.3 private",
        "✓ address    203.0.114.7 is permitted",
        "✗ address    169.254.169.254 metadata",
        "✓ address    2606:4700::1111 is permitted",
    ]
    assert wanted == ["203.0.114.7", "2606:4700::1111"]
    assert ran.code == 1


async def test_where_no_address_is_permitted_none_is_dialled(settings: dict[str, str]) -> None:
    names = Names("10.1.2.3", "168.63.129.16")
    ran, wanted = await tried("https://hook.example/", names, settings)
    assert (ran.code, wanted) == (1, [])
    assert layers(ran)[-1] == "✗ verdict"
    assert text(ran, "verdict") == "abandoned at once: refused: no address is permitted"


async def test_a_name_that_does_not_resolve_is_told(settings: dict[str, str]) -> None:
    ran, wanted = await tried("https://hook.example/", Names(), settings)
    assert (layers(ran), wanted) == (["✓ rules", "✗ dns", "✗ verdict"], [])
    assert text(ran, "dns") == "Name or service not known"


async def test_who_hangs_is_given_up(settings: dict[str, str]) -> None:
    network = Network(timeout=timedelta(milliseconds=100))
    out = Console(file=StringIO(), soft_wrap=True, highlight=False, markup=False)
    async with receiving(hangs) as receiver:
        assert not await verify(receiver.url, Settings.from_env(settings), (SECRET,), network, out)
    assert "POST       timeout: no answer within 0.1 s" in out.file.getvalue()  # type: ignore[attr-defined]


async def test_a_hello_that_never_comes_is_given_up(settings: dict[str, str]) -> None:
    network = Network(timeout=timedelta(milliseconds=100))
    out = Console(file=StringIO(), soft_wrap=True, highlight=False, markup=False)
    with socket.create_server(("127.0.0.1", 0)) as server:  # the backlog connects, nobody answers
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        assert not await verify(url, Settings.from_env(settings), (SECRET,), network, out)
    assert "✗ time-out   not through within 0.1 s" in out.file.getvalue()  # type: ignore[attr-defined]
