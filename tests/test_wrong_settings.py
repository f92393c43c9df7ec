"""Each setting wrong in turn, under 50 posts: what it stops waits, the rest goes on."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)

from opswatch.config import STOPS, Settings
from opswatch.core.errors import ConfigError
from opswatch.core.mistakes import Part, problems_of
from opswatch.core.webhook import Secret
from opswatch.health import check_all
from opswatch.ports import Services
from opswatch.process import Process
from opswatch.rows.messages import QUEUES
from opswatch.steps.purge import purge
from opswatch.testing import MemoryPoisonQueue, MemoryQueue
from tests.support.builders import seconds
from tests.support.harness import HOOK, Harness, ended, status_path
from tests.support.simulated_host import RETRY_DELAY, SimulatedHost

STORAGE = {"AzureWebJobsStorage": "AccountName=a;AccountKey=a2V5"}
POSTS, WITH_RECEIVER = 50, 25
WHILE_WRONG, ONCE_RIGHT = timedelta(minutes=2), timedelta(minutes=4)
WRONG: dict[str, str] = {
    "OPSWATCH_CLOUD": "mars",
    "OPSWATCH_ARM_ENDPOINT": "management.azure.com",
    "OPSWATCH_SUBSCRIPTION_ID": "a/b",
    "OPSWATCH_LOCATION": "West/US",
    "OPSWATCH_PROVIDER": "Microsoft?Cache",
    "OPSWATCH_API_VERSION": "2024&10",
    "OPSWATCH_CALLBACK_URL": "ftp://127.0.0.1",
    "OPSWATCH_CALLBACK_SECRETS": "whsec_short",
    "OPSWATCH_CALLBACK_HOSTS": "https://example.com",
    "OPSWATCH_CALLBACK_NETWORKS": "10.0.0.0/33",
    "OPSWATCH_CALLBACK_SCHEDULE": "0,soon",
    "OPSWATCH_CALLBACK_RESULT": "all",
    "OPSWATCH_TIMEOUT": "24h",
    "OPSWATCH_POLL_MIN": "soon",
    "OPSWATCH_POLL_MAX": "PT0S",
    "OPSWATCH_POLL_COST": "none",
    "OPSWATCH_MISS_GRACE": "15",
    "OPSWATCH_RETENTION": "for ever",
    "OPSWATCH_CALLBACK_NETWORK": "10.0.0.0/8",  # a misspelling
    "AzureWebJobsStorage": "QueueEndpoint=https://q.example.com;SharedAccessSignature=sig",
}
VAULT = "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/x)"
VAULTS = {name: VAULT for name in WRONG if name != "AzureWebJobsStorage"}
EACH = [*WRONG.items(), *VAULTS.items()]
IDS = [*WRONG, *(f"{name} unresolved" for name in VAULTS)]


def body_of(number: int) -> bytes:
    posted = {"operation": status_path(f"op{number}")}
    if number < WITH_RECEIVER:
        posted["callbackUrl"] = f"{HOOK}?n={number}"
    return json.dumps(posted).encode()


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    poison = tuple(MemoryPoisonQueue(MemoryQueue(harness.clock)) for _ in QUEUES)
    harness.services = replace(harness.services, poison=poison)
    harness.status = ended()
    for number in range(POSTS):
        harness.operations.post(body_of(number))
    return harness


def started_with(harness: Harness, name: str, value: str) -> Services:
    """Return the services of an app that starts with one wrong setting."""
    settings = Settings.read(STORAGE | {name: value})
    assert settings.mistakes
    services = harness.services
    return replace(
        services,
        mistakes=settings.mistakes,
        intake=replace(services.intake, rules=settings.rules),
        secrets=settings.secrets
        or (() if name == "OPSWATCH_CALLBACK_SECRETS" else services.secrets),
    )


@pytest.mark.parametrize(("name", "value"), EACH, ids=IDS)
async def test_wrong_setting_loses_nothing_and_stops_only_its_part(
    harness: Harness, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    host = SimulatedHost(harness)
    services = started_with(harness, name, value)
    stopped = {part for mistake in services.mistakes for part in mistake.stops}

    await host.run(services, WHILE_WRONG)
    assert host.poison == []
    assert host.runs <= POSTS * 12  # each is tried every 15 to 30 s, or succeeds
    lines = [record for record in caplog.records if "message_kept" in record.getMessage()]
    assert len(lines) <= 2 * (1 + WHILE_WRONG / timedelta(minutes=1))
    assert bool(lines) == bool(stopped - {Part.PURGE})
    results, called = len(harness.store.results.rows), len(harness.called())
    if stopped <= {Part.PURGE}:
        has_secret = bool(services.secrets)
        assert (results, called) == (POSTS, WITH_RECEIVER if has_secret else 0)
    elif stopped == {Part.DELIVERIES}:
        judges_receivers = name.endswith(("HOSTS", "NETWORKS"))
        assert results == (POSTS - WITH_RECEIVER if judges_receivers else POSTS)
        assert called == 0
    elif stopped == {Part.POLLS}:
        assert (len(harness.store.watches.rows), results) == (POSTS, 0)
    else:
        assert harness.store.watches.rows == harness.store.results.rows == {}

    await host.run(harness.services, ONCE_RIGHT)
    assert host.poison == []
    assert len(harness.store.results.rows) == POSTS
    assert sorted(harness.called()) == sorted(f"{HOOK}?n={n}" for n in range(WITH_RECEIVER))
    assert harness.store.outbox.rows == harness.store.rejections.rows == {}
    assert harness.operations.messages == harness.deliveries.messages == {}


@pytest.mark.parametrize(
    "name", ["OPSWATCH_TIMEOUT", "OPSWATCH_POLL_MIN", "OPSWATCH_CALLBACK_SCHEDULE"]
)
async def test_wrong_setting_for_long_adds_no_message(harness: Harness, name: str) -> None:
    host = SimulatedHost(harness)
    services = started_with(harness, name, WRONG[name])
    await host.run(services, timedelta(minutes=20))
    waiting = len(harness.operations.messages) + len(harness.deliveries.messages)
    assert waiting == (WITH_RECEIVER if "CALLBACK" in name else POSTS)
    assert host.runs <= 22 * POSTS  # in the end each message is tried every one to two minutes
    await host.run(harness.services, ONCE_RIGHT)
    assert len(harness.called()) == WITH_RECEIVER


async def test_wrong_arm_setting_does_not_stop_deliveries(harness: Harness) -> None:
    host = SimulatedHost(harness)
    no_secret = replace(harness.services, secrets=())
    await host.run(no_secret, timedelta(seconds=5))
    assert len(harness.store.outbox.rows) == WITH_RECEIVER
    await host.run(started_with(harness, "OPSWATCH_ARM_ENDPOINT", "x"), WHILE_WRONG)
    assert len(harness.called()) == WITH_RECEIVER
    assert host.poison == []


@pytest.mark.parametrize("value", ["", VAULT])
async def test_callbacks_go_out_within_two_minutes_of_a_start_with_secret(
    harness: Harness, value: str
) -> None:
    host = SimulatedHost(harness)
    services = harness.services
    if value:
        services = started_with(harness, "OPSWATCH_CALLBACK_SECRETS", value)
    await host.run(replace(services, secrets=()), timedelta(minutes=30))
    assert harness.called() == []
    await host.run(harness.services, timedelta(minutes=2))
    assert len(harness.called()) == WITH_RECEIVER


OUTAGES: list[Exception] = [
    ServiceRequestError("no route"),
    ClientAuthenticationError("no token within 5 s"),
    TimeoutError("slow"),
    *(HttpResponseError(f"{code}") for code in (401, 403, 404, 408, 409, 429, 500, 503)),
]
for _error in OUTAGES:
    if isinstance(_error, HttpResponseError) and str(_error).isdecimal():
        _error.status_code = int(str(_error))


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
@pytest.mark.parametrize("table", ["watches", "results", "timeline"])
async def test_outage_of_a_table_for_ten_minutes_loses_nothing(
    harness: Harness, table: str, error: Exception
) -> None:
    class Failing:
        def __getattr__(self, verb: str) -> Any:
            async def fail(*_: object, **__: object) -> None:
                raise error

            async def find(*_: object, **__: object) -> AsyncIterator[Any]:
                raise error
                yield

            return find if verb == "find" else fail

    failing: Any = Failing()
    host = SimulatedHost(harness, repairs=False)  # it fails, and has tests of its own
    broken = replace(harness.services, store=replace(harness.services.store, **{table: failing}))
    await host.run(broken, timedelta(minutes=10))
    assert host.poison == []
    assert host.runs <= 20 * POSTS  # at first every 15 to 30 s, in the end every 1 to 2 min
    await host.run(harness.services, ONCE_RIGHT)
    assert len(harness.store.results.rows) == POSTS
    assert len(harness.called()) == WITH_RECEIVER
    assert host.poison == []


async def test_message_that_cannot_be_sent_again_is_the_hosts(harness: Harness) -> None:
    """As if the storage refused all writes: the host keeps what it cannot remove."""

    class Refusing(MemoryQueue):
        async def send(self, body: bytes, delay: timedelta = RETRY_DELAY) -> None:  # noqa: ARG002
            raise ServiceRequestError("no writes")

    refusing: Any = Refusing(harness.clock)
    services = replace(started_with(harness, "OPSWATCH_TIMEOUT", "x"), operations=refusing)
    host = SimulatedHost(harness)
    await host.run(services, seconds(1))
    assert len(harness.operations.messages) == POSTS


async def test_defect_is_not_kept_but_shown(harness: Harness) -> None:
    class DefectError(Exception): ...

    async def step(_: Services, __: bytes) -> None:
        raise DefectError

    @asynccontextmanager
    async def opening(_: Mapping[str, str]) -> AsyncIterator[tuple[Services, Any]]:
        async def create() -> None: ...

        yield harness.services, create

    process = Process({}, opening=opening)
    before = len(harness.operations.messages)
    with pytest.raises(DefectError):
        await process.handle("operations", step, b"x")
    assert len(harness.operations.messages) == before


async def test_purge_keeps_all_while_retention_is_wrong(harness: Harness) -> None:
    services = started_with(harness, "OPSWATCH_RETENTION", "PT1M")
    with pytest.raises(ConfigError, match="OPSWATCH_RETENTION"):
        await purge(services)


async def test_health_names_each_mistake_and_asks_nothing_that_it_stops(harness: Harness) -> None:
    services = started_with(harness, "OPSWATCH_ARM_ENDPOINT", "x")
    checks = [check async for check in check_all(services)]
    assert [check.text for check in checks if check.topic == "settings"] == problems_of(
        services.mistakes, *Part
    )
    assert not {"token", "ARM"} & {check.topic for check in checks}
    assert harness.arm.asked == []
    storage = started_with(harness, *list(WRONG.items())[-1])
    topics = [check.topic async for check in check_all(storage)]
    assert topics == ["settings", "secret"]


async def test_health_explains_an_unresolved_reference(harness: Harness) -> None:
    services = started_with(harness, "OPSWATCH_CALLBACK_SECRETS", VAULT)
    found = [check async for check in check_all(services) if not check.is_good]
    (check,) = [check for check in found if check.topic in ("secret", "settings")]
    assert check.topic == "secret"
    assert "Key Vault reference that Azure could not resolve" in check.text
    assert "kv.vault" not in check.text


def test_every_setting_is_wrong_in_turn() -> None:
    named = {mistake.text.partition(":")[0] for mistake in Settings.read(WRONG).mistakes}
    assert named == WRONG.keys()
    assert {*STOPS} <= named


def test_secret_is_never_in_a_mistake() -> None:
    secret = Secret(b"k" * 32).text
    mistakes = Settings.read(STORAGE | {"OPSWATCH_CALLBACK_SECRET": secret}).mistakes
    assert [mistake.text for mistake in mistakes] == [
        "OPSWATCH_CALLBACK_SECRET: unknown; is it a misspelling of OPSWATCH_CALLBACK_SECRETS?"
    ]
