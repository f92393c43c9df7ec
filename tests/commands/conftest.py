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
from opswatch.adapters.memory import MemoryCallbacks, MemoryQueue
from opswatch.bootstrap import open_world
from opswatch.core.model import (
    ArmError,
    CallbackRequest,
    End,
    FinalStatus,
    HttpResponse,
    Key,
    NoAnswer,
    Registration,
    WakeUp,
)
from opswatch.core.webhook import Secret
from opswatch.local.azurite import Azurite
from opswatch.ports import Where, World
from opswatch.steps import deliver, finish, register

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

    world: World

    async def watched(self, operation: str, *, at: datetime | None = None) -> Key:
        at = at or datetime.now(UTC)
        registration = self.world.intake.read(operation.encode(), at)
        assert isinstance(registration, Registration), registration
        return await register(self.world, registration, at)

    async def progressed(self, key: Key, status: str, percent: float) -> None:
        stored = await self.world.store.watches.get(key)
        assert stored is not None
        watch = replace(stored.noun, status=status, percent_complete=percent, polls=3)
        assert await self.world.store.watches.replace(watch, stored.version)

    async def ended(
        self, key: Key, status: FinalStatus = FinalStatus.SUCCEEDED, error: ArmError | None = None
    ) -> None:
        stored = await self.world.store.watches.get(key)
        assert stored is not None
        now = datetime.now(UTC)
        end = End(status=status, finished_at=now, end_time=now, error=error, result='{"a":1}')
        await finish(self.world, replace(stored, noun=replace(stored.noun, end=end)))

    async def attempted(
        self, key: Key, answer: HttpResponse | NoAnswer, seq: int = 1
    ) -> list[CallbackRequest]:
        """Attempt each delivery of `key` once, and let the receiver answer `answer`."""
        callbacks = MemoryCallbacks(lambda _: answer)
        world = replace(self.world, callbacks=callbacks)
        async for owed in self.world.store.outbox.find(
            Where(partition=key.partition, row_prefix=key.row)
        ):
            await deliver(world, WakeUp(owed.noun.key, seq))
        return callbacks.requests


@pytest.fixture
async def stage(settings: dict[str, str]) -> AsyncIterator[Stage]:
    async with open_world(settings) as world:
        queue = MemoryQueue(world.clock)
        yield Stage(replace(world, operations=queue, deliveries=queue))
