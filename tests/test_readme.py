"""The README names each setting, command, queue, table and status, and no others."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from opswatch import config
from opswatch.core.watches import FinalStatus
from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES
from opswatch.web.routes import ROUTES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))]
SETTING = re.compile(r"\b(OPSWATCH_[A-Z_]+|AzureWebJobsStorage(?:__\w+)?)\b")


def settings_in_code() -> set[str]:
    source = Path(config.__file__).read_text(encoding="utf-8")
    return set(re.findall(r"\bOPSWATCH_[A-Z_]+\b", source))


def listed_commands() -> set[str]:
    """Return the commands that `opswatch --help` lists: two spaces, a name, and what it does."""
    opswatch = Path(sys.executable).with_name("opswatch")
    text = subprocess.run(
        [opswatch, "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    _, heading, listing = text.lower().partition("\ncommands:\n")
    assert heading, text
    return set(re.findall(r"^  ([a-z]+)  ", listing, re.MULTILINE))


def test_readme_names_every_setting() -> None:
    assert {name for name in SETTING.findall(README) if name.startswith("OPSWATCH_")} == (
        settings_in_code()
    )


def test_readme_names_every_command() -> None:
    named = set(re.findall(r"`opswatch ([a-z]+)", README))
    assert named - {"help"} == listed_commands() - {"help"}


def test_readme_lists_every_route() -> None:
    listed = re.findall(r"^\| `([A-Z]+) /api/(\S+)` \|", README, re.MULTILINE)
    assert listed == [(route.method, route.path) for route in ROUTES]


def test_readme_names_the_parameters_of_lists() -> None:
    for route in ROUTES:
        names = {parameter.name for parameter in route.parameters} - {"continuation", "maxpagesize"}
        (row,) = re.findall(
            rf"^\| `{route.method} /api/{re.escape(route.path)}` \|(.*)$", README, re.MULTILINE
        )
        assert {
            name for name in names if f"`{name}`" not in row and f"?{name}=" not in row
        } == set()


def test_readme_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


@pytest.mark.parametrize("name", [*QUEUES, *TABLES, *FinalStatus])
def test_readme_explains_queue_table_and_status(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("page", sorted(PAGES))
def test_linked_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them: a repeated one is numbered."""
    found: dict[str, int] = {}
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        name = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        number = found.get(name, 0)
        found[name] = number + 1
        if number:
            found[f"{name}-{number}"] = 1
    return {*found}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_linked_headings_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://)([^)#]*\.md|)#([^)]+)\)", text)
    missing = [
        (link, anchor)
        for link, anchor in links
        if anchor not in anchors((ROOT / page).parent / link if link else ROOT / page)
    ]
    assert missing == []
