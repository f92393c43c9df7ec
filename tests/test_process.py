"""The services of a worker process: opened at their first use, closed with the event loop."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.queue import QueueSasPermissions, generate_queue_sas

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, create_missing
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, Storage
from opswatch.core.errors import ConfigError
from opswatch.core.keys import Key
from opswatch.local.azurite import Azurite, running_azurite
from opswatch.local.host.host import LocalHost
from opswatch.ports import Services
from opswatch.process import Process
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from opswatch.steps.messages import operations_message
from tests.support.harness import Harness


async def test_callers_share_the_services(azurite: Azurite) -> None:
    process = Process({"AzureWebJobsStorage": azurite.connection_string})
    first, *others = await asyncio.gather(*(process.services() for _ in range(5)))
    assert all(other is first for other in others)
    assert await process.services() is first
    assert await first.store.watches.get(Key("p", "r")) is None


async def test_failed_opening_is_tried_again(azurite: Azurite) -> None:
    env: dict[str, str] = {}
    process = Process(env)
    for _ in range(2):
        with pytest.raises(ConfigError):
            await process.services()
    env["AzureWebJobsStorage"] = azurite.connection_string
    assert isinstance(await process.services(), Services)


async def test_imports_are_frozen_once() -> None:
    gc.unfreeze()
    with pytest.raises(ConfigError):
        await Process({}).services()
    frozen = gc.get_freeze_count()
    later: list[list[int]] = [[] for _ in range(1000)]
    with pytest.raises(ConfigError):
        await Process({}).services()
    assert 0 < gc.get_freeze_count() <= frozen
    assert len(later) == 1000
    gc.unfreeze()


async def test_cancelled_caller_does_not_stop_the_opening(azurite: Azurite) -> None:
    process = Process({"AzureWebJobsStorage": azurite.connection_string})
    cancelled, waiting = (asyncio.create_task(process.services()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert isinstance(await waiting, Services)


def test_end_of_event_loop_closes_services(
    azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process({"AzureWebJobsStorage": azurite.connection_string})
    with caplog.at_level(logging.WARNING):
        services = asyncio.run(process.services())
    assert caplog.messages == []
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(services.store.watches.get(Key("p", "r")))


# --- messages that cannot be handled


@dataclass
class Keeping:
    """A process over queues in memory whose step fails with `error`."""

    harness: Harness = field(default_factory=Harness)
    error: Exception = field(default_factory=lambda: ConfigError(["OPSWATCH_X: wrong"]))
    now: float = 1000.0
    process: Process = field(init=False)
    creations: int = 0
    storage_fails: bool = False

    def __post_init__(self) -> None:
        @asynccontextmanager
        async def opening(_: object) -> AsyncIterator[tuple[Services, Callable[[], Any]]]:
            yield self.harness.services, self.create

        self.process = Process({}, opening=opening, clock=lambda: self.now)

    async def create(self) -> None:
        self.creations += 1
        if self.storage_fails:
            raise ServiceRequestError("no route")

    async def keep(self, after: float, queue: str = "operations") -> float:
        """Hand a message over; return the seconds that it is kept for."""
        self.now += after
        fake = self.harness.operations if queue == "operations" else self.harness.deliveries

        async def step(_: Services, __: bytes) -> None:
            raise self.error

        await self.process.handle(queue, step, b"{}")
        (message,) = fake.messages.values()
        fake.messages.clear()
        return (message.visible_at - self.harness.now).total_seconds()


async def test_messages_are_kept_longer_the_longer_it_lasts() -> None:
    keeping = Keeping()
    for after, least in ((0, 15), (20, 15), (40, 30), (40, 50), (100, 60), (179, 60)):
        assert least <= await keeping.keep(after) <= 2 * least + 1, after
    assert await keeping.keep(0, "deliveries") <= 31  # each queue has its own count
    assert await keeping.keep(0) >= 60
    assert await keeping.keep(180) <= 31  # after some minutes without one


async def test_log_counts_messages_kept_since_the_last_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeping = Keeping()
    with caplog.at_level(logging.WARNING, "opswatch"):
        for after in (0, 10, 10, 39, 1, 59, 1):
            await keeping.keep(after)
    lines = [line for line in caplog.messages if "message_kept" in line]
    assert [line.partition("count=")[2].partition(" ")[0] for line in lines] == ["1", "4", "2"]


async def test_message_that_cannot_be_kept_is_left_to_the_host() -> None:
    keeping = Keeping()

    async def refuse(*_: object) -> None:
        raise failure

    keeping.harness.operations.send = refuse  # type: ignore[assignment,method-assign]
    failure: Exception = ServiceRequestError("no route")
    with pytest.raises(ConfigError):
        await keeping.keep(0)
    failure = RuntimeError("a defect")
    with pytest.raises(RuntimeError):
        await keeping.keep(0)


async def test_defect_keeps_no_message() -> None:
    keeping = Keeping(error=RuntimeError("a defect"))
    with pytest.raises(RuntimeError, match="a defect"):
        await keeping.keep(0)
    assert not keeping.harness.operations.messages


async def test_failed_creation_is_repeated_after_seconds() -> None:
    keeping = Keeping(storage_fails=True)
    for after, creations in ((0, 1), (4, 1), (1, 2), (4, 2)):
        keeping.now += after
        with pytest.raises(ServiceRequestError):
            await keeping.process.services()
        assert keeping.creations == creations
    keeping.storage_fails = False
    keeping.now += 1
    assert await keeping.process.services() is keeping.harness.services
    keeping.now += 60
    await keeping.process.services()
    assert keeping.creations == 3


async def test_cancelled_caller_does_not_stop_the_creation() -> None:
    keeping, created = Keeping(), asyncio.Event()

    async def create() -> None:
        await created.wait()

    keeping.create = create  # type: ignore[method-assign]
    cancelled, waiting = (asyncio.create_task(keeping.process.services()) for _ in range(2))
    for _ in range(9):
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    created.set()
    assert await waiting is keeping.harness.services


# --- the same, in a real queue

ROOT = Path(__file__).parents[1]
BODIES = [
    " {}\t ",
    "line\r\nline\rline\n",
    "\ufeff{}",
    "<a>&amp;]]>\"'</a>",
    "caf\xe9 \U0001f600",
    "bm90IGFuIG9wZXJhdGlvbg==",
    "x" * 48_000,
]


async def visible_texts(account: Account, name: str) -> list[str]:
    """Return the texts of a queue's visible messages, in the order of their arrival."""
    queue = account.queue(name)
    return [message.content async for message in queue.receive_messages(messages_per_page=32)]


async def test_kept_message_is_the_same_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opswatch.process._SHORTEST", 0.0)
    monkeypatch.setattr("opswatch.process._LONGEST", 0.0)
    with running_azurite() as azurite:
        account = Account(Storage(connection_string=azurite.connection_string))
        env = {"AzureWebJobsStorage": azurite.connection_string, "OPSWATCH_POLL_MIN": "soon"}
        process = Process(env)

        async def stopped(_: Services, __: bytes) -> None:
            raise ConfigError(["OPSWATCH_X: wrong"])

        try:
            for body in BODIES:
                await process.handle("operations", stopped, body.encode())
            assert await visible_texts(account, "operations") == BODIES
        finally:
            await account.close()


async def test_wrong_settings_poison_nothing_in_the_local_host() -> None:
    """In real time, where five failures in a row would take three seconds."""
    with running_azurite() as azurite:
        account = Account(Storage(connection_string=azurite.connection_string))
        env = {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_ARM_ENDPOINT": "management.azure.com",
            "OPSWATCH_CALLBACK_SCHEDULE": "soon",
            "OPSWATCH_RETENTION": "for ever",
            "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:00",
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.1",
        }
        try:
            async with LocalHost(ROOT, env) as host:
                await host.started()
                for queue in QUEUES:
                    for number in range(50):
                        await account.queue(queue).send_message(f"post {number}")
                    await _emptied(account, queue)
            for queue in QUEUES:
                assert await AzurePoisonQueue(account, queue + POISON_SUFFIX).depth() == 0
                assert await AzureQueue(account, queue).depth() == 50  # hidden ones
        finally:
            await account.close()


async def test_storage_without_tables_keeps_messages_too() -> None:
    """The Functions host needs no tables: it hands messages to the app all the same."""
    with running_azurite() as azurite:
        signature = generate_queue_sas(
            DEVELOPMENT_ACCOUNT,
            "operations",
            DEVELOPMENT_KEY,
            permission=QueueSasPermissions(add=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        endpoint = f"http://127.0.0.1:{azurite.ports['queue']}/{DEVELOPMENT_ACCOUNT}"
        wrong = f"QueueEndpoint={endpoint};SharedAccessSignature={signature}"
        process = Process({"AzureWebJobsStorage": wrong})
        account = Account(Storage(connection_string=azurite.connection_string))
        try:
            await create_missing(account, ["operations"], [])
            await process.handle("operations", operations_message, b"{}")
            with pytest.raises(ConfigError, match="TableEndpoint"):
                await process.services()
            assert await AzureQueue(account, "operations").depth() == 1
        finally:
            await account.close()


async def _emptied(account: Account, name: str) -> None:
    """Return when no message of a queue is visible."""
    async with asyncio.timeout(60):
        while await account.queue(name).peek_messages(1):
            await asyncio.sleep(0.1)
