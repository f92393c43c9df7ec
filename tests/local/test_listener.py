"""The local receiver: what it takes for genuine, why not, and what it passes on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO

import aiohttp
import pytest
from standardwebhooks.webhooks import Webhook

from opswatch.core import webhook
from opswatch.core.webhook import Secret
from opswatch.local.listener import Listener, ReceivedCallback
from opswatch.local.ports import PortError, listen_on
from tests.support.servers import answer, breaks_off_after, says, serving

SECRET, OTHER = Secret(b"s" * 32), Secret(b"o" * 32)
ID = "msg_1"
Headers = dict[str, str]


def signed(secret: Secret = SECRET, *, age: float = 0, message_id: str = ID) -> Headers:
    """Return the headers of a genuine callback of `age` seconds about `event()`."""
    at = datetime.now(UTC) - timedelta(seconds=age)
    return webhook.request("http://x", message_id, event(), (secret,), at, attempt=2).headers


def event(message_id: str = ID) -> bytes:
    return webhook.sample_event(message_id, datetime(2026, 11, 26, tzinfo=UTC))


@asynccontextmanager
async def listening(
    *, forward_to: str | None = None, respond: int | None = None, secrets: tuple[Secret, ...] = ()
) -> AsyncIterator[tuple[str, list[ReceivedCallback]]]:
    received: list[ReceivedCallback] = []
    listener = Listener(
        secrets or (SECRET,), received.append, forward_to=forward_to, respond=respond
    )
    async with listener:
        yield listener.url, received


async def post(url: str, headers: Headers, body: bytes) -> tuple[int, dict[str, str], bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(url, headers=headers, data=BytesIO(body)) as response,
    ):
        names = {name.lower(): value for name, value in response.headers.items()}
        return response.status, names, await response.read()


async def test_genuine_callback_is_reported_with_its_event() -> None:
    async with listening() as (url, received):
        code, _, _ = await post(url, signed(), event())
    (callback,) = received
    assert (code, callback.status_code, callback.problem) == (204, 204, None)
    assert callback.event is not None
    assert (callback.event["type"], callback.event["id"]) == ("opswatch.test", ID)
    assert callback.attempt == "2"


async def test_another_signer_is_accepted() -> None:
    now = datetime.now(UTC)
    signature = Webhook(SECRET.text).sign(ID, now, event().decode())
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1a,other {signature}",
    }
    async with listening(secrets=(OTHER, SECRET)) as (url, received):
        assert (await post(url, headers, event()))[0] == 204
    assert received[0].event


def without(name: str) -> Headers:
    return {key: value for key, value in signed().items() if key != name}


NO_SIGNATURE = "no signature is of one of the secrets"
NOT_GENUINE: dict[str, tuple[Callable[[], Headers], bytes, str]] = {
    "no signature": (lambda: without("webhook-signature"), event(), "no header webhook-signature"),
    "no header": (dict, event(), "no header webhook-id"),
    "other secret": (lambda: signed(OTHER), event(), NO_SIGNATURE),
    "changed body": (signed, event() + b" ", NO_SIGNATURE),
    "changed id": (lambda: signed() | {"webhook-id": "msg_2"}, event(), NO_SIGNATURE),
    "old": (lambda: signed(age=600), event(), "more than five minutes from now"),
    "ahead": (lambda: signed(age=-600), event(), "more than five minutes from now"),
    "no time": (lambda: signed() | {"webhook-timestamp": "soon"}, event(), "not a number of sec"),
    "no v1": (lambda: signed() | {"webhook-signature": "v2,x"}, event(), NO_SIGNATURE),
    "odd bytes": (lambda: signed() | {"webhook-signature": "v1,ü"}, event(), "is not ASCII"),
    "other event": (signed, event("msg_2"), NO_SIGNATURE),
}


@pytest.mark.parametrize("name", NOT_GENUINE)
async def test_reason_is_given_for_forged_callback(name: str) -> None:
    headers, body, problem = NOT_GENUINE[name]
    async with (
        serving() as program,
        listening(forward_to=f"{program.endpoint}/hook") as (url, received),
    ):
        code, _, text = await post(url, headers(), body)
    (callback,) = received
    assert (code, callback.event) == (401, None)
    assert problem in (callback.problem or "")
    assert problem in text.decode()
    assert program.heads == []  # not passed on


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "the body is no event of opswatch"),
        (b"[]", "the body is no event of opswatch"),
        (event("msg_2"), "the event is not the one that webhook-id names"),
    ],
)
async def test_signed_body_must_be_its_event(body: bytes, problem: str) -> None:
    headers = webhook.request("http://x", ID, body, (SECRET,), datetime.now(UTC)).headers
    async with listening() as (url, received):
        assert (await post(url, headers, body))[0] == 401
    assert (received[0].problem or "").startswith(problem)


async def test_callback_is_passed_on_byte_for_byte() -> None:
    odd = event().replace(b"{", b'{ "text":\n "\\u00fc \xc3\xbc", ', 1)
    headers = webhook.request("http://x", ID, odd, (SECRET,), datetime.now(UTC)).headers
    target = "/a%2Fb?sig=%2f+x&y="
    reply = answer("503 Busy", b"later\xff", Retry_After="7", X_Own="1")
    async with (
        serving(says(reply)) as program,
        listening(forward_to=f"{program.endpoint}{target}") as (url, received),
    ):
        code, answered, text = await post(url, headers, odd)
    assert (program.targets, program.bodies) == ([target], [odd])
    sent = {name: program.header(name) for name in headers}
    assert sent == {name: [value] for name, value in headers.items()}
    assert program.header("host") == [program.endpoint.removeprefix("http://")]
    assert (code, text) == (503, b"later\xff")
    assert (answered["retry-after"], answered["x-own"]) == ("7", "1")
    assert (received[0].status_code, received[0].forward_error) == (503, None)


async def test_given_answer_replaces_that_of_the_program() -> None:
    async with (
        serving(says(answer("200 OK"))) as program,
        listening(forward_to=program.endpoint, respond=503) as (url, _),
    ):
        assert (await post(url, signed(), event()))[0] == 503
        assert program.bodies == [event()]


async def test_unanswered_forward_is_explained() -> None:
    with listen_on(0) as closed:
        port = closed.getsockname()[1]
    async with (
        serving(breaks_off_after(b"HTTP/1.1 2")) as program,
        listening(forward_to=f"http://127.0.0.1:{port}/hook") as (nobody, refused),
        listening(forward_to=program.endpoint) as (url, cut),
    ):
        assert (await post(nobody, signed(), event()))[0] == 502
        assert (await post(url, signed(), event()))[0] == 502
    assert str(port) in (refused[0].forward_error or "")
    assert cut[0].forward_error


@pytest.mark.parametrize("code", [200, 410, 503])
async def test_genuine_callback_gets_given_answer(code: int) -> None:
    async with listening(respond=code) as (url, received):
        assert (await post(url, signed(), event()))[0] == code
    assert received[0].status_code == code


async def test_larger_body_than_an_event_is_refused() -> None:
    async with listening() as (url, received):
        assert (await post(url, signed(), b"x" * (2**20 + 1)))[0] == 413
    assert "larger" in (received[0].problem or "")


async def test_other_methods_are_no_callbacks() -> None:
    async with listening() as (url, received), aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
        asked = {"WebHook-Request-Origin": "opswatch"}
        async with session.options(url, headers=asked) as response:
            assert response.headers["WebHook-Allowed-Origin"] == "opswatch"
    assert received == []


async def test_broken_requests_leave_it_listening(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as (url, received):
        port = int(url.split(":")[2].split("/")[0])
        for raw in (
            b"GARBAGE\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await post(url, signed(), event()))[0] == 204
    assert [callback.event is not None for callback in received] == [True]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_port_in_use_is_explained() -> None:
    with listen_on(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=rf"^Port {port} is in use: choose another"):
            async with Listener((SECRET,), lambda _: None, port=port):
                pytest.fail("it listens")
