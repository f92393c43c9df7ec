"""From settings to services: the only place that connects adapters with ports."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache

from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.adapters.counts import HourlyCounts
from opswatch.adapters.credentials import credential_for
from opswatch.adapters.durations import LearnedDurations
from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.adapters.read_budget import ReadBudget
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.config import Settings
from opswatch.core.intake import Intake
from opswatch.ports import Services, Store, Telemetry
from opswatch.rows import tables
from opswatch.rows.messages import DELIVERIES_QUEUE, OPERATIONS_QUEUE, POISON_SUFFIX, QUEUES
from opswatch.steps.events import record_counts_failed, record_durations_failed

_IDENTITY_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")  # set if there is a managed identity


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_services(
    env: Mapping[str, str], *, create: bool = False, clock: Callable[[], datetime] = _utc_now
) -> AsyncIterator[Services]:
    """Yield the services that `env` configures; raise `ConfigError` if it is wrong.

    `create` creates the queues and tables that do not exist: the app does, the terminal does not.
    """
    settings = Settings.from_env(env)
    async with open_account(settings, env) as account, open_arm(settings, env) as arm:
        callbacks = HttpCallbacks(settings.rules)
        durations_table = AzureTable(account, tables.DURATIONS)
        durations = LearnedDurations(
            durations_table, settings.policy, clock, record_durations_failed
        )
        hours_table = AzureTable(account, tables.HOURS)
        counts = HourlyCounts(hours_table, record_counts_failed)
        try:
            if create:
                await create_missing(account, QUEUES, tables.TABLES)
            yield Services(
                store=Store(
                    watches=AzureTable(account, tables.WATCHES),
                    results=AzureTable(account, tables.RESULTS),
                    outbox=AzureTable(account, tables.OUTBOX),
                    deliveries=AzureTable(account, tables.DELIVERIES),
                    timeline=AzureTable(account, tables.TIMELINE),
                    unsuccessful=AzureTable(account, tables.UNSUCCESSFUL),
                    settled=AzureTable(account, tables.SETTLED),
                    summary=AzureTable(account, tables.SUMMARY),
                    hours=hours_table,
                    running=AzureTable(account, tables.RUNNING),
                    pending=AzureTable(account, tables.PENDING),
                    rejections=AzureTable(account, tables.REJECTIONS),
                    hosts=AzureTable(account, tables.HOSTS),
                    durations=durations_table,
                ),
                operations=AzureQueue(account, OPERATIONS_QUEUE),
                deliveries=AzureQueue(account, DELIVERIES_QUEUE),
                poison=tuple(AzurePoisonQueue(account, name + POISON_SUFFIX) for name in QUEUES),
                arm=arm,
                budget=ReadBudget(),
                durations=durations,
                counts=counts,
                callbacks=callbacks,
                telemetry=_telemetry(),
                clock=clock,
                intake=intake_of(settings),
                policy=settings.policy,
                secrets=settings.secrets,
            )
        finally:
            await durations.close()
            await counts.close()
            await callbacks.close()


@asynccontextmanager
async def open_account(settings: Settings, env: Mapping[str, str]) -> AsyncIterator[Account]:
    """Yield the storage account; no request is made to it."""
    storage = settings.storage
    credential = credential_for(
        managed_identity=_has_managed_identity(settings, env), client_id=storage.client_id
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
        managed_identity=_has_managed_identity(settings, env), client_id=settings.client_id
    )
    arm = HttpArm(settings.arm_endpoint, settings.arm_scope, credential)
    try:
        yield arm
    finally:
        await arm.close()
        await credential.close()


def intake_of(settings: Settings) -> Intake:
    """Return the reader of posted messages."""
    return Intake(endpoint=settings.arm_endpoint, defaults=settings.defaults, rules=settings.rules)


@cache
def _telemetry() -> Telemetry:
    """Return OpenTelemetry if its API is installed: opswatch uses nothing else of it.

    One for the process, as its providers are: they accept each gauge from its first creator only.
    """
    try:
        from opswatch.adapters.telemetry import OpenTelemetry  # noqa: PLC0415 - may be missing
    except ImportError:
        return NoTelemetry()
    return OpenTelemetry()


def _has_managed_identity(settings: Settings, env: Mapping[str, str]) -> bool:
    return settings.storage.managed_identity or any(env.get(name) for name in _IDENTITY_ENDPOINTS)
