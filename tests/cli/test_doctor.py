"""The command doctor: each thing that the app needs, present or missing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions, ResourceTypes, generate_account_sas
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.bootstrap import open_services
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, Storage
from opswatch.local.simulator import Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE, POISON_SUFFIX, QUEUES
from opswatch.rows.tables import TABLES, WATCHES
from tests.cli.conftest import SECRET, CommandResult, Run


@pytest.fixture
async def arm(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Simulator]:
    """A simulated ARM and identity, and a storage account as the app leaves it."""
    async with Simulator() as arm:
        for name, value in arm.environment.items():
            monkeypatch.setenv(name, value)
        async with open_services(settings | arm.environment, create=True):
            yield arm


def marks(result: CommandResult) -> dict[str, str]:
    """Return the mark of each topic; of a table or queue, under its name."""
    found = {}
    for line in result.lines:
        mark, topic, text = line.split(maxsplit=2)
        found[
            f"{topic} {text.split(':')[0]}" if topic in ("queue", "poison", "table") else topic
        ] = mark
    return found


def failed(result: CommandResult) -> set[str]:
    return {topic for topic, mark in marks(result).items() if mark != "✓"}


@pytest.mark.usefixtures("arm")
async def test_healthy_app_passes_every_check(run: Run) -> None:
    result = await run("doctor")
    assert (result.code, result.err) == (0, ""), result.out
    assert marks(result) == dict.fromkeys(
        [
            *("settings", "secret", "storage", "token", "ARM"),
            *(f"queue {name}" for name in QUEUES),
            *(f"poison {name}{POISON_SUFFIX}" for name in QUEUES),
            *(f"table {name}" for name in TABLES),
        ],
        "✓",
    )


@pytest.mark.usefixtures("arm")
async def test_missing_subscription_reads_all_subscriptions(
    run: Run, arm: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPSWATCH_SUBSCRIPTION_ID")
    assert (await run("doctor")).code == 0
    assert arm.requests[-1].path == "/subscriptions"


async def test_wrong_settings_are_the_only_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSWATCH_CLOUD", "nimbus")
    monkeypatch.setenv("OPSWATCH_TIMEOUT", "soon")
    result = await run("doctor")
    assert result.code == 1
    assert [line[:10] for line in result.lines] == ["✗ settings"] * 2


@pytest.mark.usefixtures("arm")
async def test_missing_secret_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSWATCH_CALLBACK_SECRETS")
    result = await run("doctor")
    assert (result.code, failed(result)) == (1, {"secret"})


@pytest.fixture
async def poison(settings: dict[str, str]) -> AsyncIterator[QueueClient]:
    account = Account(Storage.from_env(settings))
    queue = account.queue(OPERATIONS_QUEUE + POISON_SUFFIX)
    await queue.create_queue()
    yield queue
    await queue.delete_queue()
    await account.close()


@pytest.mark.usefixtures("arm")
async def test_poison_messages_fail(run: Run, poison: QueueClient) -> None:
    assert (await run("doctor")).code == 0
    await poison.send_message("hush")
    result = await run("doctor")
    assert (result.code, failed(result)) == (1, {"poison operations-poison"})


@pytest.mark.usefixtures("arm")
async def test_missing_table_fails(run: Run, settings: dict[str, str]) -> None:
    account = Account(Storage.from_env(settings))
    await account.table(WATCHES.table).delete_table()
    result = await run("doctor")
    await account.table(WATCHES.table).create_table()
    await account.close()
    assert (result.code, failed(result)) == (1, {"table watches"})
    assert "does not exist" in result.out


@pytest.mark.usefixtures("arm")
async def test_unreachable_storage_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = "http://127.0.0.1:9/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=aGlkZGVu;"
        f"QueueEndpoint={closed};TableEndpoint={closed};",
    )
    result = await run("doctor")
    assert (result.code, failed(result)) == (1, {"storage"})
    assert len(result.lines) == 5


@pytest.mark.usefixtures("arm")
async def test_rejected_identity_fails_token_check(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    result = await run("doctor")
    assert (result.code, failed(result)) == (1, {"token"})
    assert "ARM" not in marks(result)


@pytest.mark.usefixtures("arm")
async def test_unreachable_arm_fails_after_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSWATCH_ARM_ENDPOINT", "http://127.0.0.1:9")
    result = await run("doctor")
    assert (result.code, failed(result)) == (1, {"ARM"})


@pytest.mark.usefixtures("arm")
async def test_doctor_prints_no_secret(run: Run, settings: dict[str, str], arm: Simulator) -> None:
    result = await run("doctor")
    key = settings["AzureWebJobsStorage"].partition("AccountKey=")[2].partition(";")[0]
    for hidden in (SECRET.text, key, arm.identity.header, "eyJ"):
        assert hidden not in result.out + result.err


@pytest.mark.usefixtures("arm")
async def test_wrong_key_is_one_line_with_advice(
    run: Run, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = settings["AzureWebJobsStorage"].replace(DEVELOPMENT_KEY, "aGlkZGVu")
    monkeypatch.setenv("AzureWebJobsStorage", wrong)
    result = await run("doctor")
    assert (result.code, failed(result)) == (1, {"storage"})
    assert len(result.lines) == 5
    assert "the account key in AzureWebJobsStorage is wrong or was replaced" in result.out
    assert "RequestId" not in result.out


@pytest.mark.usefixtures("arm")
async def test_signature_without_resource_types_is_explained(
    run: Run, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = generate_account_sas(
        AzureNamedKeyCredential(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
        ResourceTypes(service=True, object=True),
        AccountSasPermissions(read=True, list=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    ends = [part for part in settings["AzureWebJobsStorage"].split(";") if "Endpoint=" in part]
    text = ";".join([*ends, f"SharedAccessSignature={signature}"])
    monkeypatch.setenv("AzureWebJobsStorage", text)
    listed = await run("list")
    assert (listed.code, listed.out) == (5, "")
    assert "the service `t`, the resource types `co` and the permissions `rl`" in listed.err
    result = await run("doctor")
    assert result.code == 1
    assert "table watches" in failed(result)
    (line,) = [line for line in result.lines if " watches: " in line]
    assert "the resource types `co`" in line
    assert "RequestId" not in result.out
    assert f"poison operations{POISON_SUFFIX}" in marks(result)
