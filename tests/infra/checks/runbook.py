"""The runbook: a section for each alert, with what it means, what to look at and what to do."""

import re

from tests.infra.checks.project import Project
from tests.infra.rules import ALERTS

PLACE = "docs/runbook.md"
GENERAL = {"First look", "Whose operation?"}  # sections that belong to no alert
_PARTS = ("What it means", "What to look at", "What to do")


def check(project: Project) -> list[str]:
    text = project.read(PLACE)
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    found = [
        f"{PLACE}: {name} is an alert or a section only"
        for name in sorted(ALERTS.keys() ^ (sections.keys() - GENERAL))
    ]
    found += [f"{PLACE}: no section {name}" for name in GENERAL - sections.keys()]
    for name in sections.keys() & ALERTS.keys():
        found += [
            f"{PLACE}: {name} does not say: {part}"
            for part in _PARTS
            if f"**{part}.**" not in sections[name]
        ]
    declared = project.json("infra/telemetry.json")
    names = declared["metrics"].keys() | declared["events"].keys()
    found += [
        f"{PLACE}: nothing emits {name}"
        for name in sorted(set(re.findall(r"`(opswatch\.[a-z_.]+)`", text)) - names)
    ]
    return found
