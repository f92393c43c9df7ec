"""Hostile and permitted callback URLs, and the addresses that each would connect to.

The adapter's sockets are recorded and refused: no test here opens one.
"""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.core.callback_policy import CallbackRules, CallbackTarget
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer

PUBLIC = CallbackRules()
LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))
TLS = ssl.create_default_context()  # once: reading the CAs takes longer than any test here
ALL_NETWORKS = CallbackRules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))

# URLs and addresses, grouped by the trick that they try.
CORPUS: dict[str, dict[str, list[str]]] = json.loads(
    Path(__file__).with_name("callback_corpus.json").read_text(encoding="utf-8")
)


def corpus(name: str) -> list[str]:
    return [entry for group in CORPUS[name].values() for entry in group]


@dataclass
class FakeResolver(AbstractResolver):
    """A name server: each name has `addresses`, or the ones from `answer`."""

    addresses: tuple[str, ...] = ("8.8.8.8",)
    answer: Callable[[], tuple[str, ...]] | None = None
    asked: list[str] = field(default_factory=list)
    result: type[dict[str, Any]] = dict

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self.answer() if self.answer else self.addresses
        return [self._result(host, address, port, family) for address in addresses]

    async def close(self) -> None:
        pass

    def _result(self, host: str, address: str, port: int, family: int) -> ResolveResult:
        result: Any = self.result(
            hostname=host, host=address, port=port, family=family, proto=0, flags=0
        )
        return result  # type: ignore[no-any-return]


@dataclass
class RecordingSockets:
    """Records the address of each socket, and refuses to open it."""

    wanted: list[str] = field(default_factory=list)

    def __call__(self, addr_info: aiohttp.AddrInfoType) -> socket.socket:
        self.wanted.append(addr_info[4][0])
        raise ConnectionRefusedError(111, "withheld")


@asynccontextmanager
async def sender(
    rules: CallbackRules, names: FakeResolver | None = None
) -> AsyncIterator[tuple[HttpCallbacks, RecordingSockets]]:
    sockets = RecordingSockets()
    callbacks = HttpCallbacks(rules, open_socket=sockets, resolver=names or FakeResolver(), tls=TLS)
    try:
        yield callbacks, sockets
    finally:
        await callbacks.close()


async def attempt(
    url: str, *, rules: CallbackRules = PUBLIC, names: FakeResolver | None = None
) -> tuple[HttpResponse | NoAnswer, set[str]]:
    """Post to `url`; return the outcome and the addresses of the sockets."""
    async with sender(rules, names) as (callbacks, sockets):
        outcome = await callbacks.post(CallbackRequest(url, {}, b"{}"))
    return outcome, set(sockets.wanted)


def layer_of(outcome: HttpResponse | NoAnswer) -> str:
    assert isinstance(outcome, NoAnswer)
    return outcome.layer


def test_corpus_is_large_and_without_duplicates() -> None:
    assert len(corpus("hostile_urls")) >= 100
    for name in CORPUS:
        assert len(corpus(name)) == len(set(corpus(name)))


@pytest.mark.parametrize("url", corpus("hostile_urls"), ids=ascii)
async def test_hostile_url_reaches_no_socket(url: str) -> None:
    names = FakeResolver()
    outcome, wanted = await attempt(url, names=names)
    assert PUBLIC.refusal(url)
    assert isinstance(outcome, NoAnswer)
    assert outcome.layer == "refused"
    assert outcome.error.isprintable()
    assert (names.asked, wanted) == ([], set())


@pytest.mark.parametrize("address", corpus("hostile_addresses"))
async def test_name_of_forbidden_address_reaches_no_socket(address: str) -> None:
    outcome, wanted = await attempt("https://hook.example/", names=FakeResolver((address,)))
    assert isinstance(outcome, NoAnswer)
    assert outcome.layer == "refused"
    assert outcome.error == f"{PUBLIC.verdict(address, scheme='https')} ({address})"
    assert wanted == set()


@pytest.mark.parametrize("url", corpus("permitted_urls"))
async def test_permitted_url_reaches_a_socket(url: str) -> None:
    outcome, wanted = await attempt(url)
    assert PUBLIC.refusal(url) is None
    assert outcome == NoAnswer("connect", "withheld")
    assert wanted == {"8.8.8.8"}


@pytest.mark.parametrize("address", corpus("permitted_addresses"))
async def test_public_address_reaches_a_socket(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    for url in ("https://hook.example/", f"https://{literal}:8443/"):
        outcome, wanted = await attempt(url, names=FakeResolver((address,)))
        assert outcome == NoAnswer("connect", "withheld")
        assert wanted == {address}


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "64:ff9b::a83f:8110"])
async def test_metadata_address_is_never_permitted(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    for url in ("http://hook.example/", f"http://{literal}/"):
        outcome, wanted = await attempt(url, rules=ALL_NETWORKS, names=FakeResolver((address,)))
        assert (layer_of(outcome), wanted) == ("refused", set())


async def test_forbidden_addresses_of_a_name_are_skipped() -> None:
    names = FakeResolver(
        ("10.0.0.1", "2606:4700::1111", "127.0.0.1", "::1", "8.8.8.8", "169.254.169.254")
    )
    outcome, wanted = await attempt("https://hook.example/", names=names)
    assert outcome == NoAnswer("connect", "withheld")
    assert wanted == {"2606:4700::1111", "8.8.8.8"}


async def test_refusal_names_every_address() -> None:
    names = FakeResolver(("127.0.0.1", "10.0.0.1"))
    outcome, _ = await attempt("https://hook.example/", names=names)
    assert outcome == NoAnswer("refused", "loopback (127.0.0.1), private (10.0.0.1)")


async def test_localhost_is_tried_on_permitted_networks_only() -> None:
    names = FakeResolver(("::1", "127.0.0.1"))
    outcome, wanted = await attempt("http://localhost:8080/", rules=LOOPBACK, names=names)
    assert outcome == NoAnswer("connect", "withheld")
    assert wanted == {"127.0.0.1"}


async def test_plain_http_stays_in_permitted_networks() -> None:
    names = FakeResolver(("8.8.8.8",))
    outcome, wanted = await attempt("http://hook.example/", rules=LOOPBACK, names=names)
    assert outcome == NoAnswer("refused", "plain-http (8.8.8.8)")
    assert wanted == set()


async def test_name_is_resolved_and_checked_each_time() -> None:
    answers: Iterator[tuple[str, ...]] = iter([("8.8.8.8",), ("127.0.0.1",), ("8.8.4.4",)])
    async with sender(PUBLIC, FakeResolver(answer=lambda: next(answers))) as (callbacks, sockets):
        request = CallbackRequest("https://rebinding.example/", {}, b"{}")
        outcomes = [await callbacks.post(request) for _ in range(3)]
    assert outcomes == [
        NoAnswer("connect", "withheld"),
        NoAnswer("refused", "loopback (127.0.0.1)"),
        NoAnswer("connect", "withheld"),
    ]
    assert set(sockets.wanted) == {"8.8.8.8", "8.8.4.4"}


class ChangingResult(dict[str, Any]):
    """A resolver's result that changes to loopback after it has been read once."""

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if key == "host":
            self["host"] = "127.0.0.1"
        return value


async def test_guard_checks_the_address_of_the_socket() -> None:
    outcome, wanted = await attempt(
        "https://hook.example/", names=FakeResolver(result=ChangingResult)
    )
    assert outcome == NoAnswer("refused", "loopback (127.0.0.1)")
    assert wanted == set()


class PermissiveRules(CallbackRules):
    """Rules that accept every URL."""

    def refusal(self, url: str) -> None:
        """Accept `url`."""


@pytest.mark.parametrize("address", [a for a in corpus("hostile_addresses") if "%" not in a])
async def test_guard_refuses_urls_that_rules_accepted(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    names = FakeResolver(("127.0.0.1",))
    try:
        outcome, wanted = await attempt(f"https://{literal}/", rules=PermissiveRules(), names=names)
    except ValueError:
        return  # not a URL
    assert (layer_of(outcome), wanted) == ("refused", set())


async def test_rules_changed_since_registration_apply() -> None:
    narrow = CallbackRules(hosts=("*.example.com",))
    outcome, wanted = await attempt("https://hook.example/", rules=narrow)
    assert (layer_of(outcome), wanted) == ("refused", set())


async def test_name_is_resolved_in_ascii() -> None:
    names = FakeResolver()
    await attempt("https://Bücher.example/", names=names)
    assert names.asked == ["xn--bcher-kva.example"]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_aiohttp_sends_the_url_that_rules_read(tail: str) -> None:
    url = f"https://hook.example:8443/{tail}"
    if PUBLIC.refusal(url) is None:
        sent = URL(CallbackTarget.parse(url).url, encoded=True)
        path, _, query = tail.partition("?")
        assert (sent.scheme, sent.raw_user, sent.raw_host) == ("https", None, "hook.example")
        assert (sent.port, sent.raw_fragment) == (8443, "")
        assert sent.raw_path_qs == (f"/{path}?{query}" if query else f"/{path}")


async def test_name_without_addresses_fails_at_dns() -> None:
    outcome, _ = await attempt("https://hook.example/", names=FakeResolver(()))
    assert outcome == NoAnswer("dns", "the name has no address")


async def test_failing_name_server_is_a_value() -> None:
    def fail() -> tuple[str, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known\x07")

    outcome, _ = await attempt("https://hook.example/?t=secret", names=FakeResolver(answer=fail))
    assert outcome == NoAnswer("dns", "Name or service not known\\x07")


async def test_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for url, rules in (("https://hook.example/", PUBLIC), ("http://hook.example/", ALL_NETWORKS)):
        _, wanted = await attempt(url, rules=rules)
        assert wanted == {"8.8.8.8"}
