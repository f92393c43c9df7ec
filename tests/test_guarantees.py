"""Promises and failures name tests, and each test that docs/ names exists."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE, FAILURES = (
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("guarantees.md", "failure.md")
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> dict[str, str]:
    """Return the text under each third-level heading."""
    return dict(re.findall(r"^### (.+)\n((?:(?!##).*\n)*)", PAGE, re.MULTILINE))


@pytest.mark.parametrize("promise", promises())
def test_promise_names_tests(promise: str) -> None:
    assert NAMED.search(promises()[promise])


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE + FAILURES))))
def test_named_test_exists(path: str, name: str) -> None:
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(module) if isinstance(node, functions)}


@pytest.mark.parametrize("page", [PAGE, FAILURES])
def test_every_mentioned_test_is_checked(page: str) -> None:
    assert len(NAMED.findall(page)) == page.count("::")


def failures() -> dict[str, list[str]]:
    """Return the cells of each row of the tables on failures, by the first one."""
    lines = [line for line in FAILURES.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in rows if first not in ("what breaks", "---")}


@pytest.mark.parametrize("failure", failures())
def test_failure_names_tests(failure: str) -> None:
    *cells, tests = failures()[failure]
    assert len(cells) == 4
    assert all(cells)
    assert NAMED.search(tests)


def test_telemetry_of_failures_exists() -> None:
    declared = json.loads((ROOT / "infra" / "telemetry.json").read_text(encoding="utf-8"))
    known = {*declared["metrics"], *declared["events"]}
    named = set(re.findall(r"`(opswatch\.[a-z_.]+)`", FAILURES))
    assert named
    assert named <= known


def test_alerts_of_failures_exist() -> None:
    alerts = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    named = set(re.findall(r"alert \*(\w+)\*", FAILURES))
    assert named
    assert named <= set(re.findall(r"name: '(\w+)'", alerts))
