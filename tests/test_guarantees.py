"""Each promise in docs/guarantees.md names tests, and each named test exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> dict[str, str]:
    """Return the text under each third-level heading."""
    return dict(re.findall(r"^### (.+)\n((?:(?!##).*\n)*)", PAGE, re.MULTILINE))


@pytest.mark.parametrize("promise", promises())
def test_promise_names_tests(promise: str) -> None:
    assert NAMED.search(promises()[promise])


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE))))
def test_named_test_exists(path: str, name: str) -> None:
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(module) if isinstance(node, functions)}


def test_every_mentioned_test_is_checked() -> None:
    assert len(NAMED.findall(PAGE)) == PAGE.count("::")
