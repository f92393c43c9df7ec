"""Requests to ARM over loopback, and every kind of answer."""

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError

from opswatch.adapters.arm import HttpArm
from opswatch.core.http import HttpResponse, NoAnswer
from tests.support.servers import (
    OK,
    TOKEN,
    Credential,
    answer,
    breaks_off_after,
    says,
    serving,
)

SCOPE = "https://management.azure.com/.default"
PATH = "/subscriptions/s/providers/Microsoft.Cache/locations/westus/operationsStatus/op"
SHORT = timedelta(milliseconds=200)


@asynccontextmanager
async def arm_at(
    endpoint: str, credential: Credential | None = None, patience: timedelta = timedelta(seconds=5)
) -> AsyncIterator[HttpArm]:
    arm = HttpArm(endpoint, SCOPE, credential or Credential(), patience)
    try:
        yield arm
    finally:
        await arm.close()


async def get_once(*responders: Any, patience: timedelta = timedelta(seconds=5)) -> Any:
    """GET once from a server with these responders; it must receive one request."""
    async with serving(*responders) as server, arm_at(server.endpoint, patience=patience) as arm:
        got = await arm.get(server.endpoint + PATH)
        assert len(server.heads) == 1
    return got


def layer_of(outcome: HttpResponse | NoAnswer) -> str:
    assert isinstance(outcome, NoAnswer)
    return outcome.layer


# --- requests


@pytest.mark.parametrize(
    "target",
    [
        f"{PATH}?api-version=2024-10-01",
        f"{PATH}?t=638&c={'MIIH' * 900}%2F%2f%2B+~-_.%7e&s={'a%2Fb' * 300}%3d%3D&h=abc%20d",
        f"{PATH}?a=1&a=&b&=c&&x=%C3%A9&y=%e9",
        f"{PATH}?q='()*!$;:@,/?[]|",
        PATH.replace("westus", "West%20US"),
        f"{PATH}/%41%2E/x;y=1,2:3@4!$&'()*+",
        f"{PATH}//twice/./dots/../here?x",
    ],
)
async def test_url_is_sent_byte_for_byte(target: str) -> None:
    async with serving() as server, arm_at(server.endpoint) as arm:
        got = await arm.get(server.endpoint + target)
    if server.heads:
        assert server.targets == [target]
    else:  # refused, but never changed
        assert layer_of(got) == "refused"
        assert "/../" in target or "|" in target


async def test_each_request_has_a_token_for_arm() -> None:
    credential = Credential()
    async with serving() as server, arm_at(server.endpoint, credential) as arm:
        for _ in range(3):
            await arm.get(server.endpoint + PATH)
    assert server.header("authorization") == [f"Bearer {TOKEN}"] * 3
    assert credential.asked == [((SCOPE,), None)]
    assert server.header("accept") == ["application/json"] * 3
    assert all("opswatch" in (agent or "") for agent in server.header("user-agent"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{other}" + PATH,
        "http://localhost:{port}" + PATH,
        "https://127.0.0.1:{port}" + PATH,
        "http://127.0.0.1:{port}@127.0.0.1:{other}" + PATH,
        "http://127.0.0.1:{other}#@127.0.0.1:{port}" + PATH,
        "http://127.0.0.1:{port}.example.com" + PATH,
        "http://127.0.0.1:{other}\\@127.0.0.1:{port}" + PATH,
        "//127.0.0.1:{other}" + PATH,
        "file:///etc/passwd",
        "",
    ],
)
async def test_token_goes_to_the_configured_endpoint_only(url: str) -> None:
    credential = Credential()
    async with (
        serving() as server,
        serving() as other,
        arm_at(server.endpoint, credential) as arm,
    ):
        got = await arm.get(url.format(port=server.port, other=other.port))
    assert layer_of(got) == "refused"
    assert (server.heads, other.heads, credential.asked) == ([], [], [])


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_redirect_is_not_followed(status: str) -> None:
    async with serving() as other:
        elsewhere = f"{other.endpoint}{PATH}"
        got = await get_once(says(answer(status, Location=elsewhere)))
    assert got == HttpResponse(int(status[:3]), {"content-length": "0", "location": elsewhere}, b"")
    assert other.heads == []


async def test_cookie_is_not_kept() -> None:
    set_cookie = says(answer("200 OK", Set_Cookie="a=b; Path=/"))
    async with serving(set_cookie) as server, arm_at(server.endpoint) as arm:
        await arm.get(server.endpoint + PATH)
        await arm.get(server.endpoint + PATH)
    assert server.header("cookie") == [None, None]


# --- answers


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "404 Not Found", "409 Conflict"])
async def test_answer_is_a_value(status: str) -> None:
    got = await get_once(says(answer(status, b'{"status": "X"}', Retry_After="7", X_Ms="Y")))
    headers = {"content-length": "15", "retry-after": "7", "x-ms": "Y"}
    assert got == HttpResponse(int(status[:3]), headers, b'{"status": "X"}')


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_failed_answer_is_not_retried(code: int) -> None:
    got = await get_once(says(answer(f"{code} Trouble", b"oops", Retry_After="0")), says(OK))
    assert (got.status_code, got.body) == (code, b"oops")


@pytest.mark.parametrize(
    "responder",
    [breaks_off_after(b""), breaks_off_after(b"HTTP/1.1 200 OK\r\nContent-")],
    ids=["at once", "within its head"],
)
async def test_broken_connection_is_no_answer(responder: Any) -> None:
    """aiohttp tries again at once: the server may have closed a connection that was kept."""
    async with serving(responder) as server, arm_at(server.endpoint) as arm:
        got = await arm.get(server.endpoint + PATH)
    assert len(server.heads) == 2
    assert layer_of(got) == "connect"


async def test_malformed_http_is_no_answer() -> None:
    got = await get_once(says(b"nonsense\r\n\r\n"), says(OK))
    assert isinstance(got, NoAnswer)
    assert got.layer in ("connect", "http")


async def test_truncated_body_is_no_answer() -> None:
    got = await get_once(
        breaks_off_after(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), says(OK)
    )
    assert isinstance(got, NoAnswer)


async def test_closed_port_is_no_answer() -> None:
    async with serving() as server:
        endpoint = server.endpoint
    async with arm_at(endpoint) as arm:
        got = await arm.get(endpoint + PATH)
    assert layer_of(got) == "connect"


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_incomplete_answer_times_out(beginning: bytes) -> None:
    got = await get_once(says(beginning), patience=SHORT)
    assert layer_of(got) == "timeout"


async def test_trickling_answer_times_out() -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    got = await get_once(trickle, patience=SHORT)
    assert layer_of(got) == "timeout"


async def test_answer_after_failures_is_read() -> None:
    breaks, hangs = breaks_off_after(b""), says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    responders = (breaks, breaks, hangs, says(OK))
    async with serving(*responders) as server, arm_at(server.endpoint, patience=SHORT) as arm:
        got = [await arm.get(server.endpoint + PATH) for _ in range(3)]
    assert [type(each) for each in got] == [NoAnswer, NoAnswer, HttpResponse]


MEBIBYTE = b" " * 1024 * 1024


async def test_body_is_read_up_to_its_limit() -> None:
    assert (await get_once(says(answer("200 OK", MEBIBYTE * 4)))).body == MEBIBYTE * 4
    got = await get_once(says(answer("200 OK", MEBIBYTE * 4 + b"x")))
    assert got == NoAnswer("http", "a body of more than 4194304 bytes")


async def test_endless_body_is_not_read() -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"100000\r\n" + MEBIBYTE + b"\r\n")
            await writer.drain()

    got = await get_once(pour)
    assert got == NoAnswer("http", "a body of more than 4194304 bytes")


async def test_compressed_body_is_unpacked() -> None:
    packed = says(answer("200 OK", gzip.compress(b'{"a": 1}'), Content_Encoding="gzip"))
    async with serving(packed) as server, arm_at(server.endpoint) as arm:
        got = await arm.get(server.endpoint + PATH)
    assert isinstance(got, HttpResponse)
    assert got.body == b'{"a": 1}'
    assert server.header("accept-encoding") == ["gzip"]


async def test_decompression_bomb_is_not_read() -> None:
    bomb = gzip.compress(MEBIBYTE * 64)
    assert len(bomb) < 1024 * 1024
    got = await get_once(says(answer("200 OK", bomb, Content_Encoding="gzip")))
    assert got == NoAnswer("http", "a body of more than 4194304 bytes")


# --- tokens


def challenge(claims: str) -> str:
    encoded = base64.b64encode(claims.encode()).decode()
    return f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'


async def test_claims_challenge_gets_another_token() -> None:
    claims = '{"access_token": {"nbf": {"essential": true}}}'
    responders = (says(answer("401 Unauthorized", WWW_Authenticate=challenge(claims))), says(OK))
    credential = Credential()
    async with serving(*responders) as server, arm_at(server.endpoint, credential) as arm:
        got = await arm.get(server.endpoint + f"{PATH}?t=1%2f&s=+~")
    assert isinstance(got, HttpResponse)
    assert got.status_code == 200
    assert [claims for _, claims in credential.asked] == [None, claims]
    assert server.header("authorization") == [f"Bearer {TOKEN}", f"Bearer {TOKEN}2"]
    assert server.targets == [f"{PATH}?t=1%2f&s=+~"] * 2


@pytest.mark.parametrize("is_padded", [True, False])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
async def test_claims_are_read_in_either_alphabet(
    encode: Callable[[bytes], bytes], *, is_padded: bool
) -> None:
    claims = '{"access_token":{"acrs":{"value":">>>???"}}} '
    encoded = encode(claims.encode()).decode()
    assert set("+/-_") & set(encoded)
    encoded = encoded if is_padded else encoded.rstrip("=")
    header = f'Bearer realm="", authorization_uri="x", Bearer claims="{encoded}"'
    responders = (says(answer("401 Unauthorized", WWW_Authenticate=header)), says(OK))
    credential = Credential()
    async with serving(*responders) as server, arm_at(server.endpoint, credential) as arm:
        await arm.get(server.endpoint + PATH)
    assert [claims for _, claims in credential.asked] == [None, claims]


async def test_claims_are_found_in_any_of_several_headers() -> None:
    claims = '{"access_token":{"nbf":{"essential":true}}}'
    raw = answer("401 Unauthorized", WWW_Authenticate="Basic realm=x")
    two = raw.replace(b"\r\n\r\n", f"\r\nWWW-Authenticate: {challenge(claims)}\r\n\r\n".encode(), 1)
    credential = Credential()
    async with serving(says(two), says(OK)) as server, arm_at(server.endpoint, credential) as arm:
        await arm.get(server.endpoint + PATH)
    assert [claims for _, claims in credential.asked] == [None, claims]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Basic realm=x",
        'Bearer claims="%%%"',
        'Bearer claims="eyJ"',
        'X claims="e30"',
    ],
)
async def test_other_401_is_an_answer(header: str | None) -> None:
    refusal = answer("401 Unauthorized", WWW_Authenticate=header) if header else answer("401 No")
    credential = Credential()
    async with serving(says(refusal)) as server, arm_at(server.endpoint, credential) as arm:
        got = [await arm.get(server.endpoint + PATH) for _ in range(3)]
    assert [each.status_code for each in got if isinstance(each, HttpResponse)] == [401] * 3
    assert [claims for _, claims in credential.asked] == [None, None]  # it is replaced once
    assert len(server.heads) == 4


async def test_refused_token_is_replaced() -> None:
    credential = Credential()
    responders = says(answer("401 No")), says(OK)
    async with serving(*responders) as server, arm_at(server.endpoint, credential) as arm:
        got = [await arm.get(server.endpoint + PATH) for _ in range(3)]
    assert [each.status_code for each in got if isinstance(each, HttpResponse)] == [200, 200, 200]
    assert server.header("authorization") == [f"Bearer {TOKEN}", *[f"Bearer {TOKEN}2"] * 3]
    assert len(credential.asked) == 2


@pytest.mark.parametrize(
    ("error", "layer"),
    [
        (ClientAuthenticationError("no identity here"), "token"),
        (ServiceRequestError("the identity endpoint is not there"), "connect"),
        (AzureError("something else"), "http"),
        (TimeoutError("slow"), "token"),
    ],
)
async def test_without_token_no_request_is_sent(error: Exception, layer: str) -> None:
    async with serving() as server, arm_at(server.endpoint, Credential(error)) as arm:
        got = await arm.get(server.endpoint + PATH)
    assert isinstance(got, NoAnswer)
    assert got.layer == layer
    assert server.heads == []


async def test_failure_holds_no_token_or_signature() -> None:
    leak = ClientAuthenticationError(
        f"Bearer {TOKEN} for https://h/x?t=1&s=topsecret&h=hidden\r\n{{"
    )
    async with serving() as server, arm_at(server.endpoint, Credential(leak)) as arm:
        got = await arm.get(server.endpoint + PATH)
    assert isinstance(got, NoAnswer)
    assert not any(part in got.error for part in (TOKEN, "topsecret", "hidden", "\n"))
