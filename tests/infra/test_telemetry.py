"""Telemetry agrees everywhere: host.json, the app settings, docs/telemetry.md and the code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from opswatch.steps import events
from tests.infra.deployment import kept

ROOT = Path(__file__).parents[2]
HOST = json.loads((ROOT / "host.json").read_text("utf-8"))
DECLARED = json.loads((ROOT / "infra/telemetry.json").read_text("utf-8"))
PAGE = (ROOT / "docs/telemetry.md").read_text("utf-8")


def section(title: str) -> dict[str, list[str]]:
    """Return the rows of the table below a title of the page, by the name in the first cell."""
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(opswatch\.[a-z_.]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


@pytest.mark.parametrize(
    ("title", "declared", "column"),
    [
        ("Metrics", {name: d["dimensions"] for name, d in DECLARED["metrics"].items()}, 1),
        ("Events", DECLARED["events"], 0),
        ("Traces", DECLARED["spans"], 0),
    ],
)
def test_page_lists_every_declared_name(
    title: str, declared: dict[str, list[str]], column: int
) -> None:
    listed = {name: re.findall(r"`(\w+)`", row[column]) for name, row in section(title).items()}
    assert listed == declared


def test_page_lists_kinds_and_units() -> None:
    assert {name: row[0] for name, row in section("Metrics").items()} == {
        name: f"{declared['kind']}, {declared['unit'].strip('{}')}"
        for name, declared in DECLARED["metrics"].items()
    }


def test_host_sends_what_the_queries_read() -> None:
    logging: dict[str, Any] = HOST["logging"]
    assert HOST["telemetryMode"] == "OpenTelemetry"
    assert "applicationInsights" not in logging  # it has no effect in this mode
    # Without this mode, these filters would drop requests: a 503 has the level Information.
    assert [name for name in logging["logLevel"] if name.startswith("Host")] == []


def test_worker_sends_the_log_of_the_app() -> None:
    name = f'"PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "{events._logger.name}"'
    assert name in kept("defaults")


def test_worker_finds_its_telemetry_package() -> None:
    requirements = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in requirements if line.startswith("azure-monitor-opentelemetry")]
