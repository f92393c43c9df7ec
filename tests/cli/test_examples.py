"""The examples of every command's help are run, as they are printed, against a seeded storage."""

import asyncio
import io
import json
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from click.testing import CliRunner

from opswatch import cli
from opswatch.bootstrap import open_services
from opswatch.cli.commands import demo, listen
from opswatch.cli.group import group
from opswatch.core.http import HttpResponse
from opswatch.core.watches import FinalStatus
from opswatch.local.host import run as host_run
from opswatch.local.simulator import Simulator, serve
from opswatch.testing import MemoryQueue
from tests.cli.api import serving_api
from tests.cli.conftest import CommandResult, Operations, Run
from tests.support.receivers import Receiver, answers
from tests.support.storage import running_stand_in

ID, OTHER = "6432a8f9-0fe6-4339-9303-772c92f35d02", "1b2c3d4e-0fe6-4339-9303-772c92f35d02"
DELIVERY = "msg_0123456789abcdef0123456789abcdef"  # stands for the id of the operation's delivery
RECEIVER = "https://example.com/hook"  # stands for a receiver
APP = "http://127.0.0.1:7071"  # stands for an app
SERVERS = {"dev", "simulate", "listen"}  # which run until a signal


def examples_of(name: str) -> list[str]:
    """Return the lines below `Examples:` in what `--help` prints."""
    printed = CliRunner().invoke(group, [name, "--help"], terminal_width=200).output
    _, found, below = printed.partition("Examples:\n")
    lines = [line.strip() for line in below.splitlines() if line.strip()]
    assert found, f"{name} has no examples"
    return lines


EXAMPLES = [(name, line) for name in cli.COMMANDS for line in examples_of(name)]


def test_every_line_is_of_its_command() -> None:
    assert [pair for pair in EXAMPLES if f"opswatch {pair[0]}" not in pair[1]] == []


@pytest.fixture
async def seeded(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator["Seeded"]:
    """A storage of its own, in which the app has run."""
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(running_stand_in())
        arm = await stack.enter_async_context(Simulator())
        receiver = await stack.enter_async_context(Receiver(answers(204)))
        env = settings | arm.environment | {"AzureWebJobsStorage": storage.connection_string}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        opened = await stack.enter_async_context(open_services(env, create=True))
        queue = MemoryQueue(opened.clock)
        services = replace(opened, operations=queue, deliveries=queue)
        app = await stack.enter_async_context(serving_api(services))
        yield Seeded(Operations(services), receiver.url, app)


class Seeded:
    """Operations that the examples name, as each command needs them."""

    def __init__(self, operations: Operations, receiver: str, app: str) -> None:
        self.operations = operations
        self.receiver = receiver
        self.app = app
        self.delivery = DELIVERY

    async def prepare(self, command: str, line: str) -> None:
        """Put operations into the storage: running ones for stop, ended ones for the others."""
        ends = {ID: FinalStatus.SUCCEEDED, OTHER: FinalStatus.SUCCEEDED}
        if "--again" in line:
            ends = dict.fromkeys(ends, FinalStatus.LOST)
        if command == "list":
            ends[OTHER] = FinalStatus.FAILED
        url = RECEIVER if "--callback " in line else "https://hooks.example.com/a"
        hook = {"callbackUrl": url, "kind": "redisEnterprise/create"}
        for name in (ID, OTHER):
            key = await self.operations.watch(json.dumps({"operation": name, **hook}))
            if command == "stop":
                continue
            await self.operations.end(key, ends[name])
            code = 410 if command in ("redeliver", "deliveries") else 204
            for request in await self.operations.attempt(key, HttpResponse(code, {})):
                if name == ID:
                    self.delivery = request.headers["webhook-id"]

    def arguments(self, command: str) -> list[str]:
        """Return the arguments of a printed command, with what stands for something else."""
        program, *words = shlex.split(command)
        assert program == "opswatch"
        if words[0] == "verify":
            words = [word.replace(RECEIVER, self.receiver) for word in words]
        if words[0] in SERVERS and "--scripts" not in words:
            words += ["--port", "0"]  # the last one counts: that of the example may be in use
        return [word.replace(DELIVERY, self.delivery).replace(APP, self.app) for word in words]


@pytest.fixture(autouse=True)
def stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what runs until a signal end as soon as it has started; the demo has its own tests."""

    def stop_event() -> asyncio.Event:
        stopped = asyncio.Event()
        stopped.set()
        return stopped

    async def run_demo(*_: object, keep: bool) -> int:
        return int(keep not in (True, False))

    for module in (listen, host_run, serve):
        monkeypatch.setattr(module, "stop_event", stop_event)
    monkeypatch.setattr(demo, "run_demo", run_demo)


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
async def test_example_works_as_printed(
    run: Run, seeded: Seeded, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    await seeded.prepare(name, line)
    result = CommandResult(0, "", "")
    for command in line.split(" | "):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(result.out.encode())))
        result = await run(*seeded.arguments(command))
        assert result.code == 0, (command, result.out, result.err)
    assert "Traceback" not in result.err
    assert result.out or name in ("dev", "listen", "demo", "tail"), result.err
