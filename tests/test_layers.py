"""Imports point down and the core is pure.

import-linter checks the layers (`[tool.importlinter]` in pyproject.toml). It reads packages only,
and it cannot forbid every library but a few; the rest is checked here on the syntax trees.
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The rooms that do without SDKs, and what they may import beside the standard library and opswatch.
LIBRARIES = {
    "core": {"isodate", "msgspec"},
    "rows": {"msgspec"},
    "ports": set(),
    "steps": set(),
    "dated": set(),
    "lists": set(),
    "queries": set(),
    "views": set(),
    "config": set(),
    "client": {"azure", "msgspec"},
    "verification": {"msgspec"},
}
# What would bring a clock, randomness, the environment or I/O into the core.
IMPURE_MODULES = frozenset(
    {
        "asyncio", "ctypes", "getpass", "http.client", "importlib", "io", "locale", "logging",
        "multiprocessing", "os", "pathlib", "platform", "random", "secrets", "select", "shutil",
        "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
        "urllib.request", "uuid", "warnings",
    }
)  # fmt: skip
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "compile", "__import__"})
IMPURE_ATTRIBUTES = frozenset({"now", "utcnow", "today", "environ", "getenv", "localtime"})

FILES = {
    ".".join(path.relative_to(ROOT / "opswatch").with_suffix("").parts): path
    for path in sorted((ROOT / "opswatch").rglob("*.py"))
}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every absolute import, and for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def foreign_libraries(room: str, tree: ast.AST) -> list[str]:
    allowed = LIBRARIES[room] | sys.stdlib_module_names | {"opswatch"}
    return [name for name in imports(tree) if name.split(".")[0] not in allowed]


def impurities(tree: ast.AST) -> list[str]:
    found = [name for name in imports(tree) if name in IMPURE_MODULES or name.startswith("os.")]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                found.append(f"{name}()")
            case ast.Attribute(attr=name) if name in IMPURE_ATTRIBUTES:
                found.append(f".{name}")
    return found


def rooms_of_function_app(source: str) -> set[str]:
    """Return the rooms that `function_app` imports; an import of the bare package is "opswatch"."""
    names = (name for name in imports(ast.parse(source)) if name.split(".")[0] == "opswatch")
    return {room_of(name.removeprefix("opswatch.")) for name in names} - {"opswatch"}


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml")],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


# --- the package


def test_imports_keep_the_contracts() -> None:
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("module", [name for name in FILES if room_of(name) in LIBRARIES])
def test_deciding_modules_need_no_sdk(module: str) -> None:
    assert foreign_libraries(room_of(module), ast.parse(FILES[module].read_text("utf-8"))) == []


@pytest.mark.parametrize("module", [name for name in FILES if room_of(name) == "core"])
def test_core_is_pure(module: str) -> None:
    assert impurities(ast.parse(FILES[module].read_text("utf-8"))) == []


def test_function_app_imports_only_deployed_rooms() -> None:
    source = (ROOT / "function_app.py").read_text("utf-8")
    assert rooms_of_function_app(source) <= {"core", "ports", "process", "steps", "web"}


@pytest.mark.parametrize("module", FILES)
def test_package_does_not_import_function_app(module: str) -> None:
    assert "function_app" not in imports(ast.parse(FILES[module].read_text("utf-8")))


def test_checked_rooms_exist() -> None:
    assert {room_of(module) for module in FILES} >= LIBRARIES.keys()


# --- the checks find violations

UPWARD = [
    ("steps.poll", "from opswatch.adapters import storage", "adapters.storage"),
    ("steps.finish", "import opswatch.adapters.storage", "adapters.storage"),
    ("steps.deliver", "from opswatch import adapters", "adapters"),
    ("steps.control", "from opswatch import health", "health"),
    ("steps.register", "from ..adapters import storage", "adapters.storage"),
    ("steps.wakeups", "from .. import bootstrap", "bootstrap"),
    ("steps.messages", "def f():\n    from opswatch.bootstrap import open_services", "bootstrap"),
    ("core.arm", "from opswatch.config import Settings", "config"),
    ("core.keys", "from opswatch import ports", "ports"),
    ("core.texts", "from ..rows import tables", "rows.tables"),
    ("rows.codec", "from opswatch.ports import Row", "ports"),
    ("ports", "from opswatch.steps import poll", "steps.poll"),
    ("queries", "from opswatch.views import row_as_json", "views"),
    ("config", "from opswatch.adapters import storage", "adapters.storage"),
    ("adapters.arm", "from opswatch.steps import poll", "steps.poll"),
    ("adapters.rest", "from opswatch.bootstrap import open_services", "bootstrap"),
    ("adapters.tokens", "from opswatch.testing import MemoryArm", "testing"),
    ("bootstrap", "from opswatch.local import azurite", "local.azurite"),
    ("process", "import opswatch.local.host", "local.host"),
    ("local.azurite", "from opswatch import cli", "cli"),
    ("testing.tables", "from opswatch.adapters import storage", "adapters.storage"),
    ("client.http", "from opswatch.web import router", "web.router"),
    ("client.storage", "from opswatch.steps.control import stop", "steps.control"),
    ("verification", "from opswatch.client import errors", "client.errors"),
]


def test_upward_imports_are_reported(tmp_path: Path) -> None:
    package = shutil.copytree(ROOT / "opswatch", tmp_path / "opswatch")
    for module, source, _ in UPWARD:
        path = package.joinpath(*module.split(".")).with_suffix(".py")
        path.write_text(f"{path.read_text('utf-8')}\n{source}\n", "utf-8")
    linted = lint_imports(tmp_path)
    assert linted.returncode == 1
    expected = {f"opswatch.{module} -> opswatch.{target} (l." for module, _, target in UPWARD}
    assert {line for line in expected if line not in linted.stdout} == set(), linted.stdout


def test_package_without_a_layer_is_reported(tmp_path: Path) -> None:
    package = shutil.copytree(ROOT / "opswatch", tmp_path / "opswatch")
    (package / "helpers.py").write_text("")
    linted = lint_imports(tmp_path)
    assert linted.returncode == 1
    assert "- opswatch.helpers" in linted.stdout


@pytest.mark.parametrize(
    ("source", "room"),
    [
        ("import opswatch.local.host", "local"),
        ("from opswatch import cli", "cli"),
        ("from opswatch.testing import MemoryQueue", "testing"),
        ("def f():\n    from opswatch.bootstrap import open_services", "bootstrap"),
    ],
)
def test_foreign_room_of_function_app_is_found(source: str, room: str) -> None:
    assert rooms_of_function_app(source) == {room}


@pytest.mark.parametrize(
    "source",
    [
        "import os", "import os.path", "from os import environ", "import time", "import random",
        "from logging import getLogger", "import uuid", "open('x')", "print('x')",
        "from datetime import datetime\ndatetime.now()", "import datetime\ndatetime.date.today()",
        "def f():\n    import secrets", "from urllib import request", "import urllib.request",
        "x.environ",
    ],
)  # fmt: skip
def test_impurity_is_found(source: str) -> None:
    assert impurities(ast.parse(source))


def test_sdk_is_found() -> None:
    for source in ("import azure.core", "from aiohttp import web", "import msgspec"):
        assert foreign_libraries("steps", ast.parse(source))
    assert not foreign_libraries("core", ast.parse("import msgspec, json\nfrom ..core import arm"))
