"""The command listen: what it prints at its start, and about each callback."""

import asyncio
import json
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from opswatch import cli
from opswatch.cli.commands import listen
from opswatch.core import webhook
from opswatch.core.texts import to_json
from opswatch.core.webhook import Secret
from opswatch.local.ports import listen_on
from tests.cli.conftest import SECRET, Run
from tests.support.servers import serving

FAILED = {
    "specversion": "1.0",
    "id": "msg_1",
    "type": "opswatch.operation.failed",
    "source": "/opswatch",
    "time": "2026-11-23T03:05:40Z",
    "data": {
        "operationId": "1b2c",
        "resourceId": "/subscriptions/s/x",
        "status": "Failed",
        "error": {"code": "Quota\x1b[2J", "message": "none left"},
    },
}


class Listening:
    """The command in a thread, and what it has printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out, self.err = "", ""

    def read(self) -> None:
        out, err = self._capsys.readouterr()
        self.out, self.err = self.out + out, self.err + err

    @property
    def exports(self) -> dict[str, str]:
        lines = [line for line in self.err.splitlines() if line.startswith("export ")]
        words = [shlex.split(line, comments=True)[1] for line in lines]
        return dict(word.split("=", 1) for word in words)

    async def post(self, secret: Secret, event: object = FAILED, attempt: int = 1) -> int:
        url, body = self.exports["OPSWATCH_CALLBACK_URL"], to_json(event).encode()
        sent = webhook.request(url, "msg_1", body, (secret,), datetime.now(UTC), attempt=attempt)
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, headers=sent.headers, data=body) as response,
        ):
            return response.status


Start = Callable[..., AbstractAsyncContextManager[Listening]]


@pytest.fixture
def start(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],  # noqa: ARG001 - for the command
) -> Start:
    """Run the command until the block ends."""

    @asynccontextmanager
    async def run(*arguments: str) -> AsyncIterator[Listening]:
        stops: list[Callable[[], object]] = []

        def stop_event() -> asyncio.Event:
            stopped, loop = asyncio.Event(), asyncio.get_running_loop()
            stops.append(lambda: loop.call_soon_threadsafe(stopped.set))
            return stopped

        monkeypatch.setattr(listen, "stop_event", stop_event)
        command = asyncio.create_task(asyncio.to_thread(cli.main, ["listen", *arguments]))
        seen = Listening(capsys)
        while "SECRETS" not in seen.err:
            assert not command.done(), seen.err
            await asyncio.sleep(0.01)
            seen.read()
        try:
            yield seen
        finally:
            stops[0]()
            code = await command
        assert code == 0
        seen.read()

    return run


async def test_settings_for_an_app_are_printed_first(start: Start) -> None:
    async with start() as listening:
        url = listening.exports["OPSWATCH_CALLBACK_URL"]
        assert listening.err.startswith(f"# Listening on {url} until Ctrl-C. ")
        assert f"={SECRET.text}  # as it is set here" in listening.err
    assert listening.exports == {
        "OPSWATCH_CALLBACK_URL": url,
        "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.1/32",
        "OPSWATCH_CALLBACK_SECRETS": SECRET.text,
    }
    assert listening.out == ""


async def test_app_with_these_settings_may_call_it(start: Start, run: Run) -> None:
    async with start() as listening:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in listening.exports.items():
                patch.setenv(name, value)
            # Its output is read by `run`: only the exit code counts here.
            ended = await run("verify", listening.exports["OPSWATCH_CALLBACK_URL"])
        assert ended.code == 0, ended.out


async def test_secret_is_made_if_none_is_set(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSWATCH_CALLBACK_SECRETS")
    async with start() as listening:
        made = Secret.parse(listening.exports["OPSWATCH_CALLBACK_SECRETS"])
        assert await listening.post(made) == 204
        assert await listening.post(SECRET) == 401


async def test_given_secrets_count_instead_of_the_settings(start: Start) -> None:
    old, new = Secret(b"1" * 24), Secret(b"2" * 24)
    async with start("--secret", f"{new.text} {old.text}") as listening:
        assert [await listening.post(secret) for secret in (old, new, SECRET)] == [204, 204, 401]


async def test_callback_is_one_line(start: Start) -> None:
    async with start("--respond", "503") as listening:
        assert await listening.post(SECRET, attempt=3) == 503
        assert await listening.post(Secret(b"x" * 32)) == 401
    genuine, forged = listening.out.splitlines()
    assert genuine.split("  ")[1:] == [
        "opswatch.operation.failed",
        "1b2c",
        "/subscriptions/s/x",
        "Quota\\x1b[2J",
        "attempt 3, answered 503",
    ]
    assert "NOT GENUINE: no signature is of one of the secrets" in forged
    assert forged.endswith("answered 401")


async def test_json_is_an_object_in_a_line(start: Start) -> None:
    async with start("-o", "json") as listening:
        await listening.post(SECRET, attempt=3)
        await listening.post(Secret(b"x" * 32))
    genuine, forged = map(json.loads, listening.out.splitlines())
    assert genuine.pop("receivedAt")
    assert genuine == {
        "isGenuine": True,
        "problem": None,
        "attempt": 3,
        "statusCode": 204,
        "forwardError": None,
        "event": FAILED,
    }
    assert (forged["isGenuine"], forged["event"]) == (False, None)
    assert forged["problem"].startswith("no signature is of one of the secrets")


async def test_callback_is_forwarded(start: Start) -> None:
    async with (
        serving() as program,
        start("--forward-to", f"{program.endpoint}/hook?a=b") as listening,
    ):
        assert await listening.post(SECRET) == 200
        assert (program.targets, program.bodies) == (["/hook?a=b"], [to_json(FAILED).encode()])


async def test_test_event_is_one_line(start: Start) -> None:
    sample = {**FAILED, "type": "other\nkind", "data": {"status": "Succeeded"}}
    async with start() as listening:
        assert await listening.post(SECRET, sample) == 204
    (line,) = listening.out.splitlines()
    assert line.endswith("Z  other kind  answered 204")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--port", "70000"], "Invalid value for '--port': 70000 is not in the range"),
        (["--secret", "hush"], "Invalid value for '--secret': a secret begins with whsec_"),
        (["--secret", "whsec_"], "Invalid value for '--secret': a secret has 24 to 64 bytes"),
        (["--respond", "99"], "Invalid value for '--respond': 99 is not in the range"),
        (["--forward-to", "localhost:3000"], "Invalid value for '--forward-to': 'localhost:3000'"),
        (["--forward-to", "http://:80/"], "Invalid value for '--forward-to': 'http://:80/' is"),
        (["--forward-to", "http://[::1"], "Invalid value for '--forward-to': 'http://[::1' is"),
        (["-o", "xml"], "Invalid value for '-o' / '--output': 'xml' is not one of"),
    ],
)
async def test_wrong_option_is_one_sentence(run: Run, arguments: list[str], error: str) -> None:
    result = await run("listen", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(error)
    assert len(result.err.splitlines()) == 1


async def test_wrong_secret_of_settings_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSWATCH_CALLBACK_SECRETS", "hush")
    result = await run("listen")
    assert (result.code, result.out) == (2, "")
    assert "OPSWATCH_CALLBACK_SECRETS: a secret begins with whsec_" in result.err


async def test_port_in_use_is_one_sentence(run: Run) -> None:
    with listen_on(0) as taken:
        port = str(taken.getsockname()[1])
        for command in ("listen", "simulate"):
            result = await run(command, "--port", port)
            assert (result.code, result.out) == (2, "")
            assert result.err == (
                f"Port {port} is in use: choose another one with --port (0 takes any free one)\n"
            )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_it(number: signal.Signals, settings: dict[str, str]) -> None:  # noqa: ARG001
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opswatch.cli", "listen"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    for _ in range(4):
        assert await process.stderr.readline()
    process.send_signal(number)
    assert (await process.stderr.read(), await process.wait()) == (b"", 0)
