"""From settings to services: the only place that connects adapters with ports."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import TypeVar

from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.adapters.counts import HourlyCounts
from opswatch.adapters.credentials import credential_for
from opswatch.adapters.durations import LearnedDurations
from opswatch.adapters.gathered_queue import GatheredQueue
from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import InFlight
from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.adapters.read_budget import ReadBudget
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from opswatch.core.intake import Intake
from opswatch.core.mistakes import Part, problems_of
from opswatch.core.watches import Watch
from opswatch.ports import Services, Store, Telemetry
from opswatch.rows import tables
from opswatch.rows.codec import Codec, Noun
from opswatch.rows.messages import DELIVERIES_QUEUE, OPERATIONS_QUEUE, POISON_SUFFIX, QUEUES
from opswatch.steps.events import (
    record_counts_failed,
    record_durations_failed,
    record_unreadable_row,
)

T = TypeVar("T", bound=Noun)
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
    async with open_app(Settings.from_env(env), env, clock=clock) as (services, create_storage):
        if create:
            await create_storage()
        yield services


@asynccontextmanager
async def open_app(
    settings: Settings, env: Mapping[str, str], *, clock: Callable[[], datetime] = _utc_now
) -> AsyncIterator[tuple[Services, Callable[[], Awaitable[None]]]]:
    """Yield the services, and what creates the queues and tables that do not exist.

    No request is made. The settings may have mistakes, but for one that leaves no way to send a
    message: that raises `ConfigError`.
    """
    problems = problems_of(settings.mistakes, Part.STORAGE)
    if problems and not settings.storage.has_queues:
        raise ConfigError(problems)
    async with open_account(settings, env) as account, open_arm(settings, env) as arm:
        callbacks, telemetry, in_flight = HttpCallbacks(settings.rules), _telemetry(), InFlight()
        durations = LearnedDurations(
            AzureTable(account, tables.DURATIONS), settings.policy, clock, record_durations_failed
        )
        counts = HourlyCounts(AzureTable(account, tables.HOURS), record_counts_failed)
        try:
            services = Services(
                store=store_of(account, telemetry, in_flight),
                operations=GatheredQueue(AzureQueue(account, OPERATIONS_QUEUE), clock, in_flight),
                deliveries=GatheredQueue(AzureQueue(account, DELIVERIES_QUEUE), clock, in_flight),
                poison=tuple(AzurePoisonQueue(account, name + POISON_SUFFIX) for name in QUEUES),
                arm=arm,
                budget=ReadBudget(),
                durations=durations,
                counts=counts,
                callbacks=callbacks,
                under_way=in_flight.enter,
                trusted_looks={},
                telemetry=telemetry,
                clock=clock,
                intake=intake_of(settings),
                policy=settings.policy,
                secrets=settings.secrets,
                mistakes=settings.mistakes,
            )
            yield services, partial(create_missing, account, QUEUES, tables.TABLES)
        finally:
            await durations.close()
            await counts.close()
            await callbacks.close()


def remembers_watch(watch: Watch) -> bool:
    """Return whether a process remembers a watch: a far one comes with a copy of its row."""
    return not watch.far and watch.end is None


def store_of(account: Account, telemetry: Telemetry, in_flight: InFlight) -> Store:
    """Return the tables; what is written to live ones at about the same time goes together."""
    on_unreadable = partial(record_unreadable_row, telemetry)

    def table(codec: Codec[T]) -> AzureTable[T]:
        return AzureTable(account, codec, on_unreadable=on_unreadable)

    return Store(
        watches=GatheredTable(
            table(tables.WATCHES),
            tables.WATCHES,
            in_flight,
            remembers_watch,
        ),
        results=table(tables.RESULTS),
        outbox=GatheredTable(table(tables.OUTBOX), tables.OUTBOX, in_flight),
        deliveries=table(tables.DELIVERIES),
        timeline=table(tables.TIMELINE),
        unsuccessful=table(tables.UNSUCCESSFUL),
        settled=table(tables.SETTLED),
        summary=table(tables.SUMMARY),
        hours=table(tables.HOURS),
        running=table(tables.RUNNING),
        pending=table(tables.PENDING),
        rejections=table(tables.REJECTIONS),
        hosts=table(tables.HOSTS),
        durations=table(tables.DURATIONS),
        lookahead=table(tables.LOOKAHEAD),
    )


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
    """Return OpenTelemetry if its API is installed, and a provider is set up to collect it.

    One for the process, as its providers are: they accept each gauge from its first creator only.
    """
    try:
        from opswatch.adapters import telemetry  # noqa: PLC0415 - its package may be missing
    except ImportError:
        return NoTelemetry()
    return telemetry.OpenTelemetry() if telemetry.is_collected() else NoTelemetry()


def _has_managed_identity(settings: Settings, env: Mapping[str, str]) -> bool:
    return settings.storage.managed_identity or any(env.get(name) for name in _IDENTITY_ENDPOINTS)
