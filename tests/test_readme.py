"""The README names every command and status; its settings, addresses and links exist."""

import re
from pathlib import Path

import pytest

from opswatch.cli import COMMANDS, source
from opswatch.config import STOPS
from opswatch.core.watches import FinalStatus
from opswatch.web.routes import ROUTES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))]
SETTING = re.compile(r"\b(OPSWATCH_[A-Z_]+|AzureWebJobsStorage(?:__\w+)?)\b")


def infra_outputs() -> set[str]:
    """Return what `azd env get-values` prints."""
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    return set(re.findall(r"^output (\w+) ", template, re.MULTILINE))


def test_settings_in_readme_exist() -> None:
    named = {name for name in SETTING.findall(README) if name.startswith("OPSWATCH_")}
    of_terminal = set(SETTING.findall(Path(source.__file__).read_text(encoding="utf-8")))
    assert named <= {*STOPS, *infra_outputs(), *of_terminal}


def test_readme_names_every_command() -> None:
    named = set(re.findall(r"`opswatch ([a-z]+)", README))
    assert named - {"help"} == {*COMMANDS}


def test_addresses_in_readme_exist() -> None:
    paths = set(re.findall(r"`/api/([\w./]+)`", README))
    assert paths
    assert paths <= {"dashboard", *(route.path for route in ROUTES)}


def test_readme_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


@pytest.mark.parametrize("status", FinalStatus)
def test_readme_explains_status(status: str) -> None:
    assert f"`{status}`" in README


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
