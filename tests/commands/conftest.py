"""What tests of commands share: settings over Azurite, a way to run them, and things to be seen."""

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
from opswatch.core.arm import ArmError
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.intake import Registration
from opswatch.core.keys import Key, WakeUp
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
    """The environment of a command, with a subscription of its own, in an empty directory."""
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
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Awaitable[Ran]]


@pytest.fixture
def run(settings: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 - for the command
    """Run a command as the terminal does, in a thread: it has an event loop of its own."""

    async def run(*arguments: str) -> Ran:
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(cli.main, arguments)
        except SystemExit as ended:  # argparse's
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@dataclass(frozen=True, slots=True)
class Stage:
    """Puts operations into the tables by the real steps; their messages go nowhere."""

    services: Services

    async def watched(self, operation: str, *, at: datetime | None = None) -> Key:
        at = at or datetime.now(UTC)
        registration = self.services.intake.read(operation.encode(), at)
        assert isinstance(registration, Registration), registration
        return await register(self.services, registration, at)

    async def progressed(self, key: Key, status: str, percent: float) -> None:
        stored = await self.services.store.watches.get(key)
        assert stored is not None
        watch = replace(stored.value, status=status, percent_complete=percent, polls=3)
        assert await self.services.store.watches.replace(watch, stored.version)

    async def ended(
        self, key: Key, status: FinalStatus = FinalStatus.SUCCEEDED, error: ArmError | None = None
    ) -> None:
        stored = await self.services.store.watches.get(key)
        assert stored is not None
        now = datetime.now(UTC)
        end = End(status=status, finished_at=now, end_time=now, error=error, result='{"a":1}')
        await finish(self.services, replace(stored, value=replace(stored.value, end=end)))

    async def attempted(
        self, key: Key, answer: HttpResponse | NoAnswer, seq: int = 1
    ) -> list[CallbackRequest]:
        """Attempt each delivery of `key` once, and let the receiver answer `answer`."""
        callbacks = MemoryCallbacks(lambda _: answer)
        services = replace(self.services, callbacks=callbacks)
        async for owed in self.services.store.outbox.find(
            Query(partition=key.partition, row_prefix=key.row)
        ):
            await deliver(services, WakeUp(owed.value.key, seq))
        return callbacks.requests


@pytest.fixture
async def stage(settings: dict[str, str]) -> AsyncIterator[Stage]:
    async with open_services(settings) as services:
        queue = MemoryQueue(services.clock)
        yield Stage(replace(services, operations=queue, deliveries=queue))
