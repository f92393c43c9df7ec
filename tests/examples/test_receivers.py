"""The example receivers, as real processes: which requests they accept and which they reject."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.core import webhook
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.http import CallbackRequest, HttpResponse
from opswatch.core.webhook import Secret
from tests.support.cases import cases

RECEIVERS = Path(__file__).parents[2] / "examples" / "receivers"
PROGRAMS = {
    "python": (sys.executable, str(RECEIVERS / "python" / "receiver.py"), "0"),
    "node": ("node", str(RECEIVERS / "node" / "receiver.mjs"), "0"),
}
OLD, NEW, FOREIGN = (Secret(bytes([number]) * 32) for number in (1, 2, 3))
# The example of the Standard Webhooks specification.
KNOWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN_ID, KNOWN_TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
KNOWN_BODY = b'{"test": 2432232314}'
KNOWN_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
_SET_BACK = f"""
import runpy, sys, time
time.time = lambda: {KNOWN_TIMESTAMP}.0
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# The same programs with their clocks set to the time of that example.
SET_BACK = {
    "python": (
        sys.executable,
        "-c",
        _SET_BACK,
        *PROGRAMS["python"][1:],
    ),
    "node": (
        "node",
        "--import",
        f"data:text/javascript,Date.now=()=>{KNOWN_TIMESTAMP}000",
        *PROGRAMS["node"][1:],
    ),
}


@dataclass
class Running:
    """A running receiver and its output."""

    url: str
    output: asyncio.StreamReader
    process: asyncio.subprocess.Process
    callbacks: HttpCallbacks

    async def post(self, request: CallbackRequest) -> int:
        answer = await self.callbacks.post(request)
        assert isinstance(answer, HttpResponse), answer
        return answer.status_code

    async def event(self) -> Any:
        return json.loads(await self.output.readline())


@asynccontextmanager
async def running(program: tuple[str, ...], *secrets: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *program,
        env=os.environ | {"WEBHOOK_SECRETS": " ".join(secrets)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    callbacks = HttpCallbacks(CallbackRules(networks=(ip_network("127.0.0.0/8"),)))
    assert process.stdout is not None
    try:
        ready = (await process.stdout.readline()).decode()  # printed when it listens
        url = ready.removeprefix("Listening on ").strip()
        yield Running(url, process.stdout, process, callbacks)
    finally:
        process.kill()
        await process.wait()
        await callbacks.close()


@pytest.fixture(params=PROGRAMS)
async def receiver(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(PROGRAMS[request.param], NEW.text, OLD.text) as process:
        yield process


def signed(
    url: str,
    *secrets: Secret,
    at: datetime | None = None,
    message_id: str = "msg_1",
    body: bytes | None = None,
) -> CallbackRequest:
    at = at or datetime.now(UTC)
    event = webhook.sample_event(message_id, at) if body is None else body
    return webhook.request(url, message_id, event, secrets or (NEW,), at)


def with_headers(request: CallbackRequest, **headers: str | None) -> CallbackRequest:
    """Return `request` with headers set (`_` for `-`), or removed if they are None."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    changed = {name: value for name, value in (request.headers | named).items() if value}
    return replace(request, headers=changed)


@pytest.mark.parametrize(
    "secrets",
    [(NEW,), (OLD,), (NEW, OLD), (FOREIGN, OLD), (FOREIGN, FOREIGN, NEW)],
    ids=["newest", "oldest", "both", "one of two", "one of three"],
)
async def test_any_signature_by_any_secret_is_accepted(
    receiver: Running, secrets: tuple[Secret, ...]
) -> None:
    request = signed(receiver.url, *secrets)
    assert await receiver.post(request) == 204
    event = await receiver.event()
    assert event == json.loads(request.body)
    assert (event["id"], event["type"]) == ("msg_1", "opswatch.test")


async def test_repeated_event_is_handled_once(receiver: Running) -> None:
    for message_id in ("msg_1", "msg_1", "msg_2", "msg_1", "msg_3"):
        assert await receiver.post(signed(receiver.url, message_id=message_id)) == 204
    assert [(await receiver.event())["id"] for _ in range(3)] == ["msg_1", "msg_2", "msg_3"]


async def test_tampered_request_is_refused(receiver: Running) -> None:
    right = signed(receiver.url)
    timestamp = int(right.headers["webhook-timestamp"])
    signature = right.headers["webhook-signature"]
    for wrong in (
        replace(right, body=right.body.replace(b"Succeeded", b"Failed")),
        replace(right, body=right.body + b" "),
        replace(right, body=b""),
        with_headers(right, webhook_id="msg_2"),
        with_headers(right, webhook_timestamp=str(timestamp + 1)),
        with_headers(right, webhook_signature=signature[:-2]),
        with_headers(right, webhook_signature=signature.removeprefix("v1,")),
        with_headers(right, webhook_signature=signature.replace("v1,", "v2,")),
        with_headers(right, webhook_signature="v1,"),
        with_headers(right, webhook_signature="\u00e9"),
        signed(receiver.url, FOREIGN),
    ):
        assert await receiver.post(wrong) == 401, wrong
    assert await receiver.post(right) == 204  # the refused requests were not remembered


@pytest.mark.parametrize("minutes", [-6, 6, -600_000])
async def test_distant_timestamp_is_refused(receiver: Running, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    assert await receiver.post(signed(receiver.url, at=at)) == 401


@pytest.mark.parametrize("minutes", [-4, 4])
async def test_small_clock_difference_is_accepted(receiver: Running, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    assert await receiver.post(signed(receiver.url, at=at)) == 204


async def test_incomplete_callback_is_bad_request(receiver: Running) -> None:
    right = signed(receiver.url)
    for wrong in (
        with_headers(right, webhook_id=None),
        with_headers(right, webhook_timestamp=None),
        with_headers(right, webhook_signature=None),
        with_headers(right, webhook_timestamp="now"),
        with_headers(right, webhook_timestamp="1e9"),
        with_headers(right, webhook_timestamp="-1"),
        with_headers(right, webhook_timestamp="9" * 5000),
        signed(receiver.url, body=b"x" * (64 * 1024 + 1)),
    ):
        assert await receiver.post(wrong) == 400, wrong.headers


def test_signature_matches_specification() -> None:
    at = datetime.fromtimestamp(KNOWN_TIMESTAMP, UTC)
    assert Secret.parse(KNOWN_SECRET).sign(KNOWN_ID, at, KNOWN_BODY) == KNOWN_SIGNATURE


@pytest.mark.parametrize("program", SET_BACK)
async def test_signature_of_specification_is_accepted(program: str) -> None:
    async with running(SET_BACK[program], KNOWN_SECRET) as receiver:
        headers = {
            "webhook-id": KNOWN_ID,
            "webhook-timestamp": str(KNOWN_TIMESTAMP),
            "webhook-signature": KNOWN_SIGNATURE,
        }
        assert await receiver.post(CallbackRequest(receiver.url, headers, KNOWN_BODY)) == 204
        assert await receiver.event() == json.loads(KNOWN_BODY)


@cases(
    "secrets, error",
    {
        "none": ("", "WEBHOOK_SECRETS is missing"),
        "white space": (" \n", "WEBHOOK_SECRETS is missing"),
        "empty": ("whsec_", "secret 1 is malformed"),
        "no prefix": (NEW.text.removeprefix("whsec_"), "secret 1 is malformed"),
        "not base64": (f"{NEW.text[:-8]}%%%%%%%=", "secret 1 is malformed"),
        "base64 for URLs": ("whsec_" + "-_" * 22, "secret 1 is malformed"),
        "too short": (Secret(b"k" * 23).text, "secret 1 is malformed"),
        "too long": (Secret(b"k" * 65).text, "secret 1 is malformed"),
        "second one empty": (f"{NEW.text} whsec_", "secret 2 is malformed"),
    },
)
@pytest.mark.parametrize("program", PROGRAMS)
def test_receiver_with_wrong_secret_does_not_start(program: str, secrets: str, error: str) -> None:
    ran = subprocess.run(
        PROGRAMS[program],
        env=os.environ | {"WEBHOOK_SECRETS": secrets},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert error in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "WEBHOOK_SECRETS is missing: `opswatch secret` creates one",
        "malformed: it must be whsec_ and base64 of 24 to 64 bytes, as `opswatch secret` prints",
    ],
)
def test_receivers_refuse_in_the_same_words(text: str) -> None:
    """The one in C# cannot be run here."""
    sources = [path.read_text("utf-8") for path in RECEIVERS.glob("*/[Rr]eceiver.*")]
    assert len(sources) == 3
    joined = [re.sub(r'"\s*\+ "', "", source) for source in sources]
    assert [text in source for source in joined] == [True] * 3


def forged(url: str) -> CallbackRequest:
    """Return a request as anybody can sign it for a receiver whose key is empty."""
    return signed(url, Secret(b""))


# The same programs, with a signal that empties the secret: as a platform may do that calls a
# receiver's function and does not start its program.
EMPTIED = {
    "python": (
        sys.executable,
        "-c",
        """
import os, runpy, signal, sys
def empty(*_):
    os.environ["WEBHOOK_SECRETS"] = "whsec_"
    print("emptied", flush=True)
signal.signal(signal.SIGUSR2, empty)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
""",
        *PROGRAMS["python"][1:],
    ),
    "node": (
        "node",
        "--import",
        (
            "data:text/javascript,process.on('SIGUSR2',()=>{process.env.WEBHOOK_SECRETS='whsec_';"
            "console.log('emptied')})"
        ),
        *PROGRAMS["node"][1:],
    ),
}


@pytest.mark.parametrize("program", EMPTIED)
async def test_emptied_secret_accepts_no_forgery(program: str) -> None:
    async with running(EMPTIED[program], NEW.text) as receiver:
        assert await receiver.post(forged(receiver.url)) == 401
        receiver.process.send_signal(signal.SIGUSR2)
        assert await receiver.output.readline() == b"emptied\n"
        for request in (forged(receiver.url), signed(receiver.url)):
            assert await receiver.post(request) == 500
        assert receiver.process.stderr is not None
        await receiver.process.stderr.readuntil(b"secret 1 is malformed")
