"""The examination: each thing that the app needs, there or missing."""

from collections.abc import AsyncIterator

import pytest
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.bootstrap import open_services
from opswatch.config import Storage
from opswatch.local.simulator import Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE, POISON_SUFFIX, QUEUES
from opswatch.rows.tables import TABLES, WATCHES
from tests.commands.conftest import SECRET, Ran, Run


@pytest.fixture
async def arm(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Simulator]:
    """A simulated ARM and identity, and everything in the storage account as the app makes it."""
    async with Simulator() as arm:
        for name, value in arm.environment.items():
            monkeypatch.setenv(name, value)
        async with open_services(settings | arm.environment):
            yield arm


def marks(ran: Ran) -> dict[str, str]:
    """Return the mark of each topic; of a table or queue, under its name."""
    found = {}
    for line in ran.lines:
        mark, topic, text = line.split(maxsplit=2)
        found[
            f"{topic} {text.split(':')[0]}" if topic in ("queue", "poison", "table") else topic
        ] = mark
    return found


def wrong(ran: Ran) -> set[str]:
    return {topic for topic, mark in marks(ran).items() if mark != "✓"}


@pytest.mark.usefixtures("arm")
async def test_where_all_is_well_nothing_is_amiss(run: Run) -> None:
    ran = await run("doctor")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert marks(ran) == dict.fromkeys(
        [
            *("settings", "secret", "storage", "token", "ARM"),
            *(f"{topic} {name}" for topic in ("queue", "poison") for name in QUEUES),
            *(f"table {name}" for name in TABLES),
        ],
        "✓",
    )


@pytest.mark.usefixtures("arm")
async def test_without_a_subscription_set_arm_is_asked_for_all_of_them(
    run: Run, arm: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPSWATCH_SUBSCRIPTION_ID")
    assert (await run("doctor")).code == 0
    assert arm.requests[-1].path == "/subscriptions"


async def test_settings_that_cannot_be_used_are_all_there_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSWATCH_CLOUD", "nimbus")
    monkeypatch.setenv("OPSWATCH_TIMEOUT", "soon")
    ran = await run("doctor")
    assert ran.code == 1
    assert [line[:10] for line in ran.lines] == ["✗ settings"] * 2


@pytest.mark.usefixtures("arm")
async def test_a_missing_secret_is_amiss(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSWATCH_CALLBACK_SECRETS")
    ran = await run("doctor")
    assert (ran.code, wrong(ran)) == (1, {"secret"})


@pytest.fixture
async def poison(settings: dict[str, str]) -> AsyncIterator[QueueClient]:
    account = Account(Storage.from_env(settings))
    queue = account.queue(OPERATIONS_QUEUE + POISON_SUFFIX)
    await queue.create_queue()
    yield queue
    await queue.delete_queue()
    await account.close()


@pytest.mark.usefixtures("arm")
async def test_poisoned_messages_are_amiss(run: Run, poison: QueueClient) -> None:
    assert (await run("doctor")).code == 0
    await poison.send_message("hush")
    ran = await run("doctor")
    assert (ran.code, wrong(ran)) == (1, {"poison operations"})


@pytest.mark.usefixtures("arm")
async def test_a_missing_table_is_amiss(run: Run, settings: dict[str, str]) -> None:
    account = Account(Storage.from_env(settings))
    await account.table(WATCHES.table).delete_table()
    ran = await run("doctor")
    await account.table(WATCHES.table).create_table()
    await account.close()
    assert (ran.code, wrong(ran)) == (1, {"table watches"})
    assert "not there yet" in ran.out


@pytest.mark.usefixtures("arm")
async def test_storage_out_of_reach_is_told_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = "http://127.0.0.1:9/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=aGlkZGVu;"
        f"QueueEndpoint={closed};TableEndpoint={closed};",
    )
    ran = await run("doctor")
    assert (ran.code, wrong(ran)) == (1, {"storage"})
    assert len(ran.lines) == 5


@pytest.mark.usefixtures("arm")
async def test_an_identity_that_gives_no_token_is_amiss(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    ran = await run("doctor")
    assert (ran.code, wrong(ran)) == (1, {"token"})
    assert "ARM" not in marks(ran)


@pytest.mark.usefixtures("arm")
async def test_an_arm_out_of_reach_is_amiss_though_a_token_can_be_had(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSWATCH_ARM_ENDPOINT", "http://127.0.0.1:9")
    ran = await run("doctor")
    assert (ran.code, wrong(ran)) == (1, {"ARM"})


@pytest.mark.usefixtures("arm")
async def test_nothing_that_is_secret_is_printed(
    run: Run, settings: dict[str, str], arm: Simulator
) -> None:
    ran = await run("doctor")
    key = settings["AzureWebJobsStorage"].partition("AccountKey=")[2].partition(";")[0]
    for hidden in (SECRET.text, key, arm.identity.header, "eyJ"):
        assert hidden not in ran.out + ran.err
