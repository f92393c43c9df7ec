"""Shared by the tests of commands: settings for Azurite, running a command, rows for it to find."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from opswatch import cli
from opswatch.bootstrap import open_services
from opswatch.core.arm_errors import ArmError
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.intake import Registration
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import End, FinalStatus
from opswatch.core.webhook import Secret
from opswatch.local.azurite import Azurite
from opswatch.ports import Query, Services
from opswatch.steps.deliver import deliver
from opswatch.steps.finish import finish
from opswatch.steps.register import register
from opswatch.testing import MemoryCallbacks, MemoryQueue

SECRET = Secret(b"s" * 32)


@pytest.fixture
def settings(azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of a command, with a new subscription, in an empty directory."""
    for name in [name for name in os.environ if name.startswith(("OPSWATCH_", "AzureWebJobs"))]:
        monkeypatch.delenv(name)
    env = {
        "AzureWebJobsStorage": azurite.connection_string,
        "OPSWATCH_SUBSCRIPTION_ID": str(uuid4()),
        "OPSWATCH_LOCATION": "West US",
        "OPSWATCH_CALLBACK_SECRETS": SECRET.text,
        "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8,::1/128",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return env


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Awaitable[CommandResult]]


@pytest.fixture
def run(
    settings: dict[str, str],  # noqa: ARG001 - for the command
    no_pauses: None,  # noqa: ARG001 - an unreachable storage account is reported at once
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command as the terminal does, in a thread: it starts its own event loop."""

    async def run(*arguments: str) -> CommandResult:
        capsys.readouterr()
        code = await asyncio.to_thread(cli.main, arguments)
        printed = capsys.readouterr()
        return CommandResult(code, printed.out, printed.err)

    return run


@dataclass(frozen=True, slots=True)
class Operations:
    """Puts operations into the tables by the real steps; their messages are kept in memory."""

    services: Services

    async def watch(self, operation: str, *, at: datetime | None = None) -> Key:
        at = at or datetime.now(UTC)
        registration = self.services.intake.read(operation.encode(), at)
        assert isinstance(registration, Registration), registration
        return await register(self.services, registration, at)

    async def progress(self, key: Key, status: str, percent: float) -> None:
        row = await self.services.store.watches.get(key)
        assert row is not None
        facts = replace(row.value.facts, status=status, percent_complete=percent, polls=3)
        watch = replace(row.value, facts=facts)
        assert await self.services.store.watches.replace(watch, row.etag)

    async def end(
        self, key: Key, status: FinalStatus = FinalStatus.SUCCEEDED, error: ArmError | None = None
    ) -> None:
        row = await self.services.store.watches.get(key)
        assert row is not None
        now = datetime.now(UTC)
        end = End(status=status, finished_at=now, end_time=now, error=error, result='{"a":1}')
        await finish(self.services, replace(row, value=replace(row.value, end=end)))

    async def attempt(
        self, key: Key, answer: HttpResponse | NoAnswer, seq: int = 1
    ) -> list[CallbackRequest]:
        """Attempt each pending delivery of `key` once, and let the receiver answer `answer`."""
        callbacks = MemoryCallbacks(lambda _: answer)
        services = replace(self.services, callbacks=callbacks)
        async for pending in self.services.store.outbox.find(
            Query(partition=key.partition, row_prefix=key.row)
        ):
            await deliver(services, WakeUp(key=pending.value.key, seq=seq))
        return callbacks.requests


@pytest.fixture
async def operations(settings: dict[str, str]) -> AsyncIterator[Operations]:
    async with open_services(settings, create=True) as services:
        async for circuit in services.store.hosts.find(Query()):  # which other tests have opened
            await services.store.hosts.delete(circuit.value.key)
        queue = MemoryQueue(services.clock)
        yield Operations(replace(services, operations=queue, deliveries=queue))
