"""Secrets of requests and answers stay out of exceptions, tracebacks, log records and misses."""

import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import aiohttp
import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)

from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.credentials import LazyCredential
from opswatch.adapters.failures import clean, reason
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.config import Storage
from opswatch.core.arm import PolledUrl, read
from opswatch.core.http import NoAnswer
from opswatch.core.keys import Key
from opswatch.core.observations import Missed
from opswatch.health import brief
from opswatch.ports import Query
from opswatch.rows.tables import WATCHES
from tests.support.servers import Credential, Responder, answer, breaks_off_after, says, serving

SECRET = "S3cr3tValue0123456789abcdef"  # as it is, or percent-encoded
MESSAGE = "a very secret message"
NOW = datetime(2026, 11, 26, tzinfo=UTC)
ARM = "https://management.azure.com"
PATH = "/subscriptions/s/providers/Microsoft.Cache/locations/westus/operationsStatus/op"
Call = Callable[[Account], Awaitable[object]]


def all_texts(error: BaseException) -> str:
    """Return every text by which an error could show a secret."""
    known = [str(value) for value in vars(error).values()]
    return "\n".join([str(error), repr(error), *traceback.format_exception(error), *known])


# --- storage: a shared access signature


async def send(account: Account) -> None:
    await AzureQueue(account, "operations").send(MESSAGE.encode())


async def depth(account: Account) -> object:
    return await AzureQueue(account, "operations").depth()


async def take(account: Account) -> object:
    return await AzurePoisonQueue(account, "operations-poison").take()


async def get(account: Account) -> object:
    return await AzureTable(account, WATCHES).get(Key("p", "r"))


async def find(account: Account) -> object:
    return [row async for row in AzureTable(account, WATCHES).find(Query())]


async def find_page(account: Account) -> object:
    return await AzureTable(account, WATCHES).find_page(Query(), 10)


async def create(account: Account) -> None:
    await create_missing(account, ["operations"], ["watches"])


CALLS: list[Call] = [send, depth, take, get, find, find_page, create]


def echo(status: str, **headers: str) -> Responder:
    """Answer with what a proxy's page of an error has: the URL that was asked for."""
    page = f"<html>cannot GET /queue?sv=2024&sig={SECRET}%3D&se=2027</html>"
    return says(answer(status, page.encode(), **headers))


TEMPERS: list[Responder] = [
    says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    breaks_off_after(f"GET /queue?sv=2024&sig={SECRET}%3D HTTP/1.1\r\n\r\n".encode()),
    breaks_off_after(f"HTTP/9.9 ' ?sig={SECRET}\r\n\r\n".encode()),
    breaks_off_after(f"HTTP/1.1 200 OK\r\nx ?sig={SECRET}\r\n\r\n".encode()),
    breaks_off_after(f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode()),
    breaks_off_after(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}".encode()),
    breaks_off_after(b""),
    breaks_off_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    echo("403 Forbidden", Content_Type="text/html"),
    echo("400 Bad Request", Content_Type="application/json"),
    says(answer("302 Found", b"", Location=f"http://127.0.0.1:1/?sig={SECRET}")),
]


@asynccontextmanager
async def account_at(endpoint: str) -> AsyncIterator[Account]:
    text = (
        f"QueueEndpoint={endpoint}/queue;TableEndpoint={endpoint}/table;"
        f"SharedAccessSignature=sv=2024-11-04&ss=qt&srt=sco&sp=rwdlacup&se=2027-01-01&sig={SECRET}%3D"
    )
    account = Account(Storage(connection_string=text))
    try:
        yield account
    finally:
        await account.close()


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("temper", TEMPERS, ids=range(len(TEMPERS)))
async def test_storage_errors_hold_no_signature(
    call: Call, temper: Responder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(temper) as server, account_at(server.endpoint) as account:
        with pytest.raises(AzureError) as caught:
            await call(account)
    assert server.heads, "nothing was asked"
    texts = all_texts(caught.value) + caplog.text
    assert SECRET not in texts
    assert SECRET not in brief(caught.value)
    assert str(caught.value)


# --- a proxy's password


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def set_proxy(authority: str) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://user:{authority}")

    return set_proxy


@pytest.mark.parametrize("password", [SECRET, f"{SECRET}%40%2F", f"pass{SECRET}"])
async def test_arm_miss_holds_no_proxy_password(
    proxied: Callable[[str], None], password: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refusal = says(answer("407 Proxy Authentication Required", Proxy_Authenticate="Basic"))
    async with serving(refusal) as server:
        proxied(f"{password}@127.0.0.1:{server.port}")
        arm = HttpArm(ARM, "scope", Credential(), timedelta(seconds=5))
        try:
            got = await arm.get(ARM + PATH)
        finally:
            await arm.close()
    assert server.heads[0].startswith("CONNECT ")
    assert got == NoAnswer("http", "the proxy answered 407")
    seen = read(got, PolledUrl(url=ARM + PATH, endpoint=ARM), NOW)
    assert seen == Missed(reason="http: the proxy answered 407")
    assert SECRET not in caplog.text


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("call", CALLS)
async def test_storage_error_holds_no_proxy_password(
    call: Call, proxied: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refusal = says(answer("407 Proxy Authentication Required", Proxy_Authenticate="Basic"))
    async with serving(refusal) as server:
        proxied(f"{SECRET}@127.0.0.1:{server.port}")
        async with account_at("https://account.example.com") as account:
            with pytest.raises(AzureError) as caught:
                await call(account)
    assert server.heads[0].startswith("CONNECT ")
    assert SECRET not in all_texts(caught.value) + caplog.text
    assert "407" in str(caught.value)


async def test_unusable_proxy_url_is_not_quoted(proxied: Callable[[str], None]) -> None:
    proxied(f"{SECRET}/not-encoded@127.0.0.1:port")
    arm = HttpArm(ARM, "scope", Credential(), timedelta(seconds=5))
    try:
        got = await arm.get(ARM + PATH)
    finally:
        await arm.close()
    assert isinstance(got, NoAnswer)
    assert SECRET not in got.error


# --- the identity's answer


def identity_answers() -> list[bytes]:
    token = {"access_token": SECRET, "resource": "r", "token_type": "Bearer"}
    bodies = [
        json.dumps(token),
        json.dumps({**token, "expires_on": "soon"}),
        json.dumps({**token, "expires_on": "9" * 5000}),
        json.dumps({**token, "expires_on": None, "expires_in": "later"}),
        json.dumps({**token, "expires_on": 2**33})[:-3],
        json.dumps([token]),
        json.dumps(f"{SECRET}"),
        f"<html>{SECRET}</html>",
        SECRET,
    ]
    answers = [answer("200 OK", b.encode(), Content_Type="application/json") for b in bodies]
    answers += [answer("200 OK", b.encode(), Content_Type="text/html") for b in bodies]
    return answers + [
        answer("400 Bad Request", b.encode(), Content_Type="application/json") for b in bodies
    ]


@pytest.mark.parametrize("raw", identity_answers(), ids=range(len(identity_answers())))
async def test_unreadable_identity_answer_stays_inside(
    raw: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(says(raw)) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.endpoint}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", f"header-{SECRET}")
        async with LazyCredential(managed_identity=True, client_id=None) as credential:
            with pytest.raises(AzureError) as caught:
                await credential.get_token_info("https://management.azure.com/.default")
            arm = HttpArm(server.endpoint, "https://management.azure.com/.default", credential)
            try:
                got = await arm.get(server.endpoint + PATH)
            finally:
                await arm.close()
    assert server.heads
    assert SECRET not in all_texts(caught.value) + caplog.text
    assert isinstance(got, NoAnswer)
    assert (got.layer, SECRET in got.error, bool(got.error)) == ("token", False, True)


# --- the texts


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (aiohttp.InvalidURL(f"http://u:{SECRET}@x:y"), "a URL that cannot be used"),
        (OSError(f"cannot reach http://u:{SECRET}@proxy"), "cannot reach http://[redacted]@proxy"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
        (ServiceRequestError(f"password={quote(SECRET)}"), "password=[redacted]"),
        (HttpResponseError("line\nline"), "line line"),
    ],
)
def test_reason_names_failure_without_secrets(error: Exception, text: str) -> None:
    assert isinstance(error, aiohttp.ClientError | AzureError | OSError)
    assert reason(error) == text


def test_cleaned_error_keeps_type_and_code() -> None:
    error = ClientAuthenticationError(f"sig={SECRET}")
    error.status_code = 401
    error.__cause__ = ValueError(SECRET)
    cleaned = clean(error)
    assert cleaned is error
    assert error.status_code == 401
    assert SECRET not in all_texts(error)
