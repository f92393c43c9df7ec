"""What all commands share: settings, and errors as sentences with exit codes."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from opswatch.cli.terminal import run_async
from opswatch.local.azurite import Azurite, running_azurite
from tests.cli.conftest import Run

COMMANDS = {
    "post": ["post", "1b2c"],
    "show": ["show", "1b2c"],
    "list": ["list"],
    "tail": ["tail", "1b2c"],
    "tail all": ["tail"],
    "wait": ["wait", "1b2c"],
    "list filtered": ["list", "--status", "Failed"],
    "list watching": ["list", "--state", "watching"],
    "count": ["list", "--count"],
    "deliveries": ["deliveries"],
    "abandoned": ["deliveries", "--state", "abandoned"],
    "rejections": ["rejections"],
    "kinds": ["kinds"],
    "summary": ["summary"],
    "stop": ["stop", "1b2c"],
    "redeliver": ["redeliver", "1b2c"],
    "redeliver all": ["redeliver", "--abandoned-since", "2026-11-23"],
}
each_command = pytest.mark.parametrize("command", COMMANDS)


@each_command
async def test_wrong_settings_are_listed_together(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AzureWebJobsStorage")
    monkeypatch.setenv("OPSWATCH_CLOUD", "nimbus")
    result = await run(*COMMANDS[command])
    assert (result.code, result.out) == (2, "")
    assert "- AzureWebJobsStorage: missing" in result.err
    assert "- OPSWATCH_CLOUD: 'nimbus'" in result.err


@each_command
async def test_unreachable_storage_is_one_line(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = "http://127.0.0.1:9/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=aGlkZGVu;"
        f"QueueEndpoint={closed};TableEndpoint={closed};",
    )
    result = await run(*COMMANDS[command])
    assert (result.code, result.out) == (6, "")
    assert result.err.startswith("No answer from the storage account: ")
    assert len(result.err.splitlines()) == 1
    assert "aGlkZGVu" not in result.err


@pytest.fixture(scope="module")
def new_azurite() -> Iterator[Azurite]:
    """A storage emulator in which nothing has been created."""
    with running_azurite() as emulator:
        yield emulator


@pytest.fixture
def new_account(
    settings: dict[str, str],  # noqa: ARG001 - set first
    new_azurite: Azurite,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The connection string of the command's storage account, which has no queues or tables."""
    monkeypatch.setenv("AzureWebJobsStorage", new_azurite.connection_string)
    return new_azurite.connection_string


async def names_in(connection: str) -> list[str]:
    """Return the names of all queues and tables."""
    async with (
        QueueServiceClient.from_connection_string(connection) as queues,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        names = [str(queue.name) async for queue in queues.list_queues()]
        return names + [table.name async for table in tables.list_tables()]


@each_command
async def test_missing_storage_is_reported_not_created(
    run: Run, new_account: str, command: str
) -> None:
    result = await run(*COMMANDS[command])
    kind = "queue" if command == "post" else "table"
    assert (result.code, result.out) == (6, "")
    assert result.err.startswith(
        f"The app has never run on this account (a {kind} is missing), and nothing was created: "
    )
    assert len(result.err.splitlines()) == 1
    assert await names_in(new_account) == []


async def test_doctor_lists_missing_queues_and_tables(run: Run, new_account: str) -> None:
    result = await run("doctor")
    assert result.code == 1
    for line in ("✗ queue      operations: does not exist", "✗ table      watches: does not exist"):
        assert line in result.out
    assert await names_in(new_account) == []


@pytest.mark.parametrize("command", ["show", "tail", "stop", "redeliver"])
async def test_unreadable_operation_is_one_line(run: Run, command: str) -> None:
    result = await run(command, "please watch my cache!")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("InvalidOperation: ")
    assert len(result.err.splitlines()) == 1


@pytest.mark.usefixtures("operations")  # creates the queue
async def test_environment_overrides_local_settings(
    run: Run,
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {**settings, "OPSWATCH_LOCATION": "East US", "OPSWATCH_SUBSCRIPTION_ID": "of-the-file"}
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    for name in ("AzureWebJobsStorage", "OPSWATCH_LOCATION"):
        monkeypatch.delenv(name)
    result = await run("post", "1b2c")
    subscription = settings["OPSWATCH_SUBSCRIPTION_ID"]
    assert result.lines == [f"{subscription}/microsoft.cache~eastus~operationsstatus~1b2c"]


async def test_unreadable_local_settings_fail(run: Run, tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text("{")
    result = await run("list")
    assert result.code == 2
    assert "local.settings.json: not JSON" in result.err


async def interrupted() -> int:
    raise KeyboardInterrupt


async def closed_output() -> int:
    raise BrokenPipeError


def test_interrupt_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_async(interrupted)() == 130
    assert capsys.readouterr() == ("", "")


def test_closed_output_is_no_storage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BrokenPipeError):
        run_async(closed_output)()
    assert capsys.readouterr() == ("", "")


async def leaves_a_task() -> int:
    async def stubborn() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    kept.append(asyncio.create_task(stubborn()))
    await asyncio.sleep(0)
    return 3


kept: list[asyncio.Task[None]] = []


def test_task_that_ignores_its_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opswatch.cli.terminal._CLOSING", 0.01)
    assert run_async(leaves_a_task)() == 3
    assert not kept.pop().done()
