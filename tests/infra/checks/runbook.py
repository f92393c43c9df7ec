"""The runbook: a section for each alert, with what it means, what to look at and what to do."""

import re

from tests.infra.checks.alerts import alert_rules
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

PLACE = "docs/runbook.md"
_PARTS = ("What it means", "What to look at", "What to do")


def check(project: Project) -> list[Finding]:
    text = project.read(PLACE)
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    found = [
        Finding(PLACE, f"{name} is an alert or a section only")
        for name in sorted(alert_rules(project).keys() ^ sections.keys())
    ]
    for name, section in sections.items():
        found += [
            Finding(PLACE, f"{name} does not say: {part}")
            for part in _PARTS
            if f"**{part}.**" not in section
        ]
    known = project.json("infra/telemetry.json")
    names = known["metrics"].keys() | known["events"].keys()
    found += [
        Finding(PLACE, f"{name} is emitted by nobody")
        for name in sorted(set(re.findall(r"`(opswatch\.[a-z_.]+)`", text)) - names)
    ]
    return found
