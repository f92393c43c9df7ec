"""What all commands have in common: where settings come from, and how errors are told."""

import json
from pathlib import Path

import pytest

from opswatch import cli
from tests.commands.conftest import Run

COMMANDS = {
    "post": ["post", "1b2c"],
    "show": ["show", "1b2c"],
    "list": ["list"],
    "tail": ["tail", "1b2c"],
    "cancel": ["cancel", "1b2c"],
    "redeliver": ["redeliver", "1b2c"],
}
everywhere = pytest.mark.parametrize("command", COMMANDS)


@everywhere
async def test_settings_that_cannot_be_used_are_told_all_at_once(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AzureWebJobsStorage")
    monkeypatch.setenv("OPSWATCH_CLOUD", "nimbus")
    ran = await run(*COMMANDS[command])
    assert (ran.code, ran.out) == (2, "")
    assert "- AzureWebJobsStorage: missing" in ran.err
    assert "- OPSWATCH_CLOUD: 'nimbus'" in ran.err


@everywhere
async def test_a_storage_account_that_is_not_there_is_told_in_a_line(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = "http://127.0.0.1:9/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=aGlkZGVu;"
        f"QueueEndpoint={closed};TableEndpoint={closed};",
    )
    ran = await run(*COMMANDS[command])
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("The storage account: ")
    assert len(ran.err.splitlines()) == 1
    assert "aGlkZGVu" not in ran.err


@pytest.mark.parametrize("command", ["show", "tail", "cancel", "redeliver"])
async def test_what_names_no_operation_is_told_in_a_line(run: Run, command: str) -> None:
    ran = await run(command, "please watch my cache!")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("InvalidOperation: ")
    assert len(ran.err.splitlines()) == 1


async def test_local_settings_are_read_and_the_environment_wins(
    run: Run, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**settings, "OPSWATCH_LOCATION": "East US", "OPSWATCH_SUBSCRIPTION_ID": "of-the-file"}
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    for name in ("AzureWebJobsStorage", "OPSWATCH_LOCATION"):
        monkeypatch.delenv(name)
    ran = await run("post", "1b2c")
    subscription = settings["OPSWATCH_SUBSCRIPTION_ID"]
    assert ran.lines == [f"{subscription}/microsoft.cache~eastus~operationsstatus~1b2c"]


async def test_local_settings_that_cannot_be_read_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text("{")
    ran = await run("list")
    assert ran.code == 2
    assert "local.settings.json: not JSON" in ran.err


@pytest.mark.parametrize("command", cli._COMMANDS)
async def test_every_command_explains_itself(run: Run, command: str) -> None:
    ran = await run(command, "--help")
    assert ran.code == 0
    assert cli._COMMANDS[command][1] in " ".join(ran.out.split())
