"""What the README names must exist, and what exists must be in the README."""

import re
from pathlib import Path

import pytest

from opswatch import cli, config
from opswatch.core.model import FinalStatus
from opswatch.core.wire import QUEUES, TABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTING = re.compile(r"\b(OPSWATCH_[A-Z_]+|AzureWebJobsStorage(?:__\w+)?)\b")


def settings_in_code() -> set[str]:
    source = Path(config.__file__).read_text(encoding="utf-8")
    return set(re.findall(r"\bOPSWATCH_[A-Z_]+\b", source))


def test_every_setting_is_in_the_readme_and_none_that_is_not() -> None:
    assert {name for name in SETTING.findall(README) if name.startswith("OPSWATCH_")} == (
        settings_in_code()
    )


def test_every_command_is_in_the_readme_and_none_that_is_not() -> None:
    assert set(re.findall(r"`opswatch (\w+)", README)) == set(cli._COMMANDS)


def test_every_make_target_of_the_readme_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


@pytest.mark.parametrize("name", [*QUEUES, *TABLES, *FinalStatus])
def test_every_queue_table_and_status_is_explained(name: str) -> None:
    assert f"`{name}`" in README


def test_every_linked_file_is_there() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
