"""Settings to a world: the only place that wires adapters to ports."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.adapters.credentials import credential_for
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.config import Settings
from opswatch.core import wire
from opswatch.core.intake import Intake
from opswatch.ports import Store, Telemetry, World

T = TypeVar("T")
_IDENTITY_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")  # set where a managed identity is


@asynccontextmanager
async def open_world(
    env: Mapping[str, str], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[World]:
    """Yield the world that `env` describes, its queues and tables made; raise `ConfigError`."""
    settings = Settings.from_env(env)
    async with open_account(settings, env) as account, open_arm(settings, env) as arm:
        callbacks = HttpCallbacks(settings.rules)
        try:
            await create_missing(account, wire.QUEUES, wire.TABLES)
            yield World(
                store=_store(account),
                operations=AzureQueue(account, wire.OPERATIONS_QUEUE),
                deliveries=AzureQueue(account, wire.DELIVERIES_QUEUE),
                poison=tuple(
                    AzurePoisonQueue(account, name + wire.POISON_SUFFIX) for name in wire.QUEUES
                ),
                arm=arm,
                callbacks=callbacks,
                telemetry=_telemetry(),
                clock=clock,
                intake=intake_of(settings),
                policy=settings.policy,
                secrets=settings.secrets,
            )
        finally:
            await callbacks.close()


@asynccontextmanager
async def open_account(settings: Settings, env: Mapping[str, str]) -> AsyncIterator[Account]:
    """Yield the storage account, untouched."""
    storage = settings.storage
    credential = credential_for(
        managed_identity=_is_managed(settings, env), client_id=storage.client_id
    )
    account = Account(storage, credential)
    try:
        yield account
    finally:
        await account.close()
        await credential.close()


@asynccontextmanager
async def open_arm(settings: Settings, env: Mapping[str, str]) -> AsyncIterator[HttpArm]:
    """Yield ARM, as the identity that polls."""
    credential = credential_for(
        managed_identity=_is_managed(settings, env), client_id=settings.client_id
    )
    arm = HttpArm(settings.arm_endpoint, settings.arm_scope, credential)
    try:
        yield arm
    finally:
        await arm.close()
        await credential.close()


def intake_of(settings: Settings) -> Intake:
    """Return what reads posted messages."""
    return Intake(endpoint=settings.arm_endpoint, defaults=settings.defaults, rules=settings.rules)


@cache
def _telemetry() -> Telemetry:
    """Return OpenTelemetry where it is installed: its API, which is all that we use of it.

    One for the process, as its providers are: they take each gauge from its first maker alone.
    """
    try:
        from opswatch.adapters.telemetry import OpenTelemetry  # noqa: PLC0415 - if it is there
    except ImportError:
        from opswatch.adapters.memory import NoTelemetry  # noqa: PLC0415 - of no use otherwise

        return NoTelemetry()
    return OpenTelemetry()


def _is_managed(settings: Settings, env: Mapping[str, str]) -> bool:
    return settings.storage.managed_identity or any(env.get(name) for name in _IDENTITY_ENDPOINTS)


def _store(account: Account) -> Store:
    def table(codec: wire.Codec[T]) -> AzureTable[T]:
        return AzureTable(account, codec)

    return Store(
        watches=table(wire.WATCHES),
        results=table(wire.RESULTS),
        outbox=table(wire.OUTBOX),
        deliveries=table(wire.DELIVERIES),
        timeline=table(wire.TIMELINE),
        rejections=table(wire.REJECTIONS),
        hosts=table(wire.HOSTS),
    )
