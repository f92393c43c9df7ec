"""A managed identity's endpoint over loopback: what it answers, when, and past which proxy."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError

from opswatch.adapters.arm import HttpArm
from opswatch.adapters.credentials import credential_for
from opswatch.adapters.tokens import Tokens
from opswatch.core.http import NoAnswer
from tests.support.servers import Server, answer, says, serving

SCOPE = "https://management.azure.com/.default"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def token_answer(**changes: Any) -> bytes:
    body = {
        "access_token": "eyJ0",
        "expires_on": str(2**32),
        "resource": "https://management.azure.com",
        "token_type": "Bearer",
    } | changes
    kept = {name: value for name, value in body.items() if value != "absent"}
    return answer("200 OK", json.dumps(kept).encode(), Content_Type="application/json")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def tokens_from(
    server: Server, monkeypatch: pytest.MonkeyPatch, host: str = "127.0.0.1", patience: float = 5
) -> AsyncIterator[Tokens]:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{host}:{server.port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    credential = credential_for(managed_identity=True, client_id=None)
    tokens = Tokens(credential, SCOPE, patience=patience)
    try:
        yield tokens
    finally:
        await tokens.close()
        await credential.close()


async def test_endpoint_gives_a_token_and_when_to_refresh_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(says(token_answer())) as server, tokens_from(server, monkeypatch) as tokens:
        info = await tokens.get_info()
    assert (info.token, info.expires_on) == ("eyJ0", 2**32)
    assert info.refresh_on is not None
    assert server.header("x-identity-header") == ["header"]


async def test_developers_chain_finds_a_managed_identity_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its credentials share one transport, which lives until the chain is closed."""
    async with serving(says(token_answer())) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.endpoint}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        async with credential_for(managed_identity=False, client_id=None) as credential:
            for _ in range(2):
                assert (await credential.get_token_info(SCOPE)).token == "eyJ0"
                await credential.forget()
    assert len(server.heads) == 2


@pytest.mark.parametrize(
    "malformed",
    [
        token_answer(access_token="absent"),
        token_answer(access_token=None),
        token_answer(access_token=""),
        token_answer(access_token=["x"]),
        token_answer(access_token={"x": 1}),
        token_answer(expires_on="absent"),
        token_answer(expires_on="11/26/2026 10:00:00 AM +00:00"),
        token_answer(expires_on=None),
        token_answer(expires_on=[]),
        token_answer(expires_on="1e999"),
        token_answer(refresh_in="soon"),
        token_answer(resource="absent"),
        answer("200 OK", b"[]", Content_Type="application/json"),
        answer("200 OK", b"[1]", Content_Type="application/json"),
        answer("200 OK", b'"text"', Content_Type="application/json"),
        answer("200 OK", b"7", Content_Type="application/json"),
        answer("200 OK", b"null", Content_Type="application/json"),
        answer("200 OK", b"{", Content_Type="application/json"),
        answer("200 OK", b"<html>hello</html>", Content_Type="text/html"),
        answer("200 OK", b"\xff\xfe\x00", Content_Type="application/json"),
        answer("200 OK", b""),
        answer("204 No Content"),
        answer("302 Found", Location="http://127.0.0.1:1/"),
        answer("400 Bad Request", b"[]", Content_Type="application/json"),
        answer("403 Forbidden", b"null", Content_Type="application/json"),
        answer("500 Oops", b"<html>", Content_Type="text/html"),
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_malformed_answer_is_an_error_that_says_something(
    malformed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(says(malformed)) as server, tokens_from(server, monkeypatch) as tokens:
        with pytest.raises(AzureError) as raised:
            await tokens.get()
    assert str(raised.value).strip()
    assert not isinstance(raised.value.__context__, KeyError | TypeError | ValueError)


async def test_unreadable_answer_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    malformed = says(token_answer(resource="absent"))
    async with serving(malformed) as server, tokens_from(server, monkeypatch) as tokens:
        with pytest.raises(ClientAuthenticationError, match="check that IDENTITY_ENDPOINT is"):
            await tokens.get()


@pytest.mark.parametrize("status", ["410 Gone", "429 Busy", "500 Oops", "503 Busy"])
async def test_retry_after_of_endpoint_holds_no_caller(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = says(answer(status, b"{}", Retry_After="61", Content_Type="application/json"))
    began = time.monotonic()
    async with serving(busy) as server, tokens_from(server, monkeypatch) as tokens:
        with pytest.raises(AzureError):
            await tokens.get()
    assert time.monotonic() - began < 4
    assert len(server.heads) == 2


async def test_passing_failure_of_endpoint_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = says(answer("500 Oops", b"{}", Content_Type="application/json"))
    async with (
        serving(busy, says(token_answer())) as server,
        tokens_from(server, monkeypatch) as tokens,
    ):
        assert await tokens.get() == "eyJ0"


async def test_hung_endpoint_is_a_miss_of_arm_for_each_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(says(b"")) as hung, serving() as arm_server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{hung.endpoint}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        credential = credential_for(managed_identity=True, client_id=None)
        credential.longest = 0.1
        arm = HttpArm(arm_server.endpoint, SCOPE, credential)
        try:
            got = await asyncio.gather(*(arm.get(f"{arm_server.endpoint}/x") for _ in range(20)))
        finally:
            await arm.close()
            await credential.close()
    assert {answer.layer for answer in got if isinstance(answer, NoAnswer)} == {"token"}
    assert len(hung.heads) == 1
    assert arm_server.heads == []


async def test_endpoint_is_asked_again_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-identity would return the refused token from its cache."""
    responders = says(token_answer(access_token="first")), says(token_answer(access_token="next"))
    async with serving(*responders) as server, tokens_from(server, monkeypatch) as tokens:
        refused = await tokens.get()
        assert (await tokens.replace(refused)).token == "next"
    assert len(server.heads) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_proxy_is_used_for_this_machine(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serving(says(token_answer())) as server,
        serving(says(answer("502 Bad Gateway"))) as proxy,
    ):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
            monkeypatch.setenv(name.upper(), proxy.endpoint)
        async with tokens_from(server, monkeypatch, host) as tokens:
            assert await tokens.get() == "eyJ0"
    assert proxy.heads == []
