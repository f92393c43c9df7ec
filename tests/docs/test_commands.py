"""The commands of opswatch that the pages print exist, with their options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from opswatch.cli import COMMANDS
from opswatch.cli.group import group

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("infra/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
HISTORY = {"CHANGELOG.md", "upgrade.md"}  # which name commands that are gone
_SPAN = re.compile(r"`(opswatch [^`]+)`")
_BLOCK = re.compile(r"```(?:bash|sh|console)[^\n]*\n(.*?)```", re.DOTALL)
_PLACEHOLDER = re.compile(r"<[^<>]+>|…")


def commands_of(text: str) -> list[str]:
    """Return the commands of opswatch in spans and blocks of code: each part of a pipe is one."""
    found = [" ".join(span.split()) for span in _SPAN.findall(text)]
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:\||\|\||&&|>>?|2>)\s", line.partition(" #")[0]):
                _, is_command, rest = f" {part.strip()}".rpartition(" opswatch ")
                if is_command and re.match(r"[a-z-]+", rest):
                    found.append(f"opswatch {rest}")
    return found


def problem_of(command: str) -> str | None:
    """Return what is wrong with a command; a bare name of one mentions it, and is not a call."""
    try:
        _, name, *words = shlex.split(_PLACEHOLDER.sub("x", command).rstrip(");"))
    except ValueError as error:
        return str(error)
    if name.startswith("-") or (name in ("help", *COMMANDS) and not words):
        return None
    # A command keeps the options of help that it had when it was first made.
    parent = click.Context(group, info_name="opswatch", **group.context_settings)
    found = group.get_command(parent, name)
    if found is None:
        return f"there is no command {name}"
    try:
        found.make_context(name, words, parent=parent)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        return error.format_message()
    return None


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name
)
def test_commands_of_page_exist(page: Path) -> None:
    commands = commands_of(page.read_text(encoding="utf-8"))
    problems = {command: problem_of(command) for command in commands}
    assert {command: problem for command, problem in problems.items() if problem} == {}


def test_runbook_says_how_to_go_back() -> None:
    """Each alert that leaves something undone names the command that makes up for it."""
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", text, re.DOTALL | re.MULTILINE))
    named = {
        name: {each.split()[1] for each in commands_of(body)} for name, body in sections.items()
    }
    assert {"redeliver"} <= named["abandoned"]
    assert {"post"} <= named["access"] & named["rejections"] & named["overdue"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`opswatch cancel 1b2c`", "there is no command cancel"),
        ("`opswatch list --sinse 1d`", "No such option '--sinse'"),
        ("```sh\nopswatch list | opswatch post - --anew\n```", "No such option '--anew'"),
        ("`opswatch redeliver --state gone`", "'gone' is not"),
        ("`opswatch stop` and `opswatch show <operation>`", ""),
    ],
)
def test_wrong_commands_are_found(text: str, problem: str) -> None:
    problems = [found for command in commands_of(text) if (found := problem_of(command))]
    assert len(problems) == bool(problem)
    assert all(problem in found for found in problems)
