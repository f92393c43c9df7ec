"""Benchmarks import only `tests.support` of the tests; only `tests/benchmarks` imports them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "tests", "opswatch", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


def imports(source: str) -> Iterator[str]:
    """Yield every imported module, and every name imported from one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def breaches(path: str, source: str) -> list[str]:
    """Return the imports of a file that break the rule."""
    permitted = {
        "benchmarks": path.startswith(("benchmarks/", "tests/benchmarks/")),
        "tests": path.startswith("tests/"),
    }
    return [
        name
        for name in imports(source)
        if not permitted.get(name.split(".")[0], True)
        and not (path.startswith("benchmarks/") and f"{name}.".startswith("tests.support."))
    ]


def test_imports_follow_the_rule() -> None:
    assert any(path.startswith("benchmarks/") for path in FILES)
    found = {path: breaches(path, (ROOT / path).read_text("utf-8")) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "source", "is_breach"),
    [
        ("benchmarks/load.py", "from tests.chaos.kills import run", True),
        ("benchmarks/load.py", "from tests import chaos", True),
        ("benchmarks/load.py", "def f():\n    import tests.simulation.run", True),
        ("tests/e2e/test_x.py", "from benchmarks.load import measure", True),
        ("tests/support/x.py", "import benchmarks", True),
        ("opswatch/cli.py", "from tests.support.harness import Harness", True),
        ("examples/x.py", "from benchmarks import load", True),
        ("benchmarks/load.py", "from tests.support.harness import Harness", False),
        ("benchmarks/load.py", "from tests.support import harness", False),
        ("benchmarks/load.py", "from benchmarks.polls.arm import serve", False),
        ("tests/benchmarks/test_x.py", "from benchmarks.load import measure", False),
        ("tests/e2e/test_x.py", "from tests.chaos.kills import run", False),
    ],
)
def test_breach_is_found(path: str, source: str, *, is_breach: bool) -> None:
    assert bool(breaches(path, source)) is is_breach
