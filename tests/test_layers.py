"""Imports point down, and the core is pure: read off the syntax tree of every module."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Which rooms of `opswatch` each room may look into, besides itself.
CORE = frozenset({"core"})
PORTS = CORE | {"ports", "log"}
SIDES = PORTS | {"adapters", "config"}  # adapters and settings on the one side, steps on the other
WIRED = SIDES | {"steps", "bootstrap", "process", "web", "dashboard"}
BELOW: dict[str, frozenset[str]] = {
    "": frozenset(),
    "core": frozenset(),
    "log": CORE,
    "ports": CORE,
    "config": CORE,
    "adapters": SIDES,
    "steps": PORTS,
    "bootstrap": WIRED,
    "process": WIRED,
    "web": WIRED,
    "dashboard": WIRED,
    "function_app": WIRED,  # deployed: nothing of the terminal or of the local host
    "cli": WIRED | {"commands", "local"},
    "commands": WIRED | {"local"},
    "local": WIRED,
}
# Rooms that do without any SDK, and what they may use beside the standard library.
PLAIN: dict[str, frozenset[str]] = {
    "core": frozenset({"msgspec"}),
    "log": frozenset(),
    "ports": frozenset(),
    "steps": frozenset(),
    "config": frozenset(),
}
# What would let a clock, chance, the environment or the world into the core.
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


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the name and the file of every module that is there."""
    for path in sorted([ROOT / "function_app.py", *(ROOT / "opswatch").rglob("*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def room_of(module: str) -> str:
    """Return the room that a module of ours is in: "" is the package `opswatch` itself."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "opswatch" else first


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield every module that `tree` imports, wherever the import stands."""
    is_package = module in MODULES and MODULES[module].name == "__init__.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.split(".")[: -node.level + is_package or None]
                base = ".".join([*up, base]).rstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def breaches_of_layers(module: str, tree: ast.AST) -> list[str]:
    room = room_of(module)
    ours = [
        name for name in imports(module, tree) if name.split(".")[0] in ("opswatch", "function_app")
    ]
    return [name for name in ours if room_of(name) not in BELOW[room] | {room}]


def breaches_of_plainness(module: str, tree: ast.AST) -> list[str]:
    allowed = PLAIN[room_of(module)] | sys.stdlib_module_names | {"opswatch"}
    return [name for name in imports(module, tree) if name.split(".")[0] not in allowed]


def impurities(module: str, tree: ast.AST) -> list[str]:
    found = [
        name for name in imports(module, tree) if name in IMPURE_MODULES or name.startswith("os.")
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                found.append(f"{name}()")
            case ast.Attribute(attr=name) if name in IMPURE_ATTRIBUTES:
                found.append(f".{name}")
    return found


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    assert room_of(module) in BELOW, f"which layer is {module} in?"
    assert breaches_of_layers(module, tree_of(module)) == []


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) in PLAIN])
def test_what_decides_needs_no_sdk(module: str) -> None:
    assert breaches_of_plainness(module, tree_of(module)) == []


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) == "core"])
def test_the_core_is_pure(module: str) -> None:
    assert impurities(module, tree_of(module)) == []


def test_every_room_that_must_be_there_is_looked_at() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert {"core", "ports", "steps", "adapters", "config", "bootstrap", "function_app"} <= rooms


# --- does it bite?


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("opswatch.steps.poll", "from opswatch.adapters import storage"),
        ("opswatch.steps.poll", "import opswatch.adapters.storage"),
        ("opswatch.steps.poll", "from opswatch import adapters"),
        ("opswatch.steps.poll", "from opswatch import config"),
        ("opswatch.steps.poll", "from ..adapters import storage"),
        ("opswatch.steps.poll", "from .. import bootstrap"),
        ("opswatch.steps", "from ..adapters import storage"),
        ("opswatch.steps.poll", "def f():\n    from opswatch.config import Settings"),
        ("opswatch.core.arm", "from opswatch.config import Settings"),
        ("opswatch.core.arm", "from opswatch import log"),
        ("opswatch.core.wire", "from ...ports import World"),
        ("opswatch.ports", "from opswatch.steps import poll"),
        ("opswatch.config", "from opswatch.adapters import storage"),
        ("opswatch.adapters.arm", "from opswatch.steps import poll"),
        ("opswatch.adapters.arm", "from opswatch.bootstrap import open_world"),
        ("opswatch.bootstrap", "from opswatch.local import azurite"),
        ("function_app", "import opswatch.local.host"),
        ("function_app", "from opswatch import cli"),
        ("opswatch.local.azurite", "import function_app"),
    ],
)
def test_an_import_upwards_is_found(module: str, source: str) -> None:
    assert breaches_of_layers(module, ast.parse(source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("opswatch.steps.poll", "from opswatch.ports import World"),
        ("opswatch.steps", "from . import poll"),
        ("opswatch.steps.poll", "from .finish import finish"),
        ("opswatch.steps.poll", "from opswatch import log"),
        ("opswatch.core.arm", "import re\nfrom opswatch.core import urls"),
        ("opswatch.core.wire.operations", "from ..model import Watch"),
        ("function_app", "from opswatch import steps"),
    ],
)
def test_an_import_downwards_is_not(module: str, source: str) -> None:
    assert breaches_of_layers(module, ast.parse(source)) == []


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
def test_an_impurity_is_found(source: str) -> None:
    assert impurities("opswatch.core.arm", ast.parse(source))


def test_an_sdk_is_found() -> None:
    for source in ("import azure.core", "from aiohttp import web", "import msgspec"):
        assert breaches_of_plainness("opswatch.steps.poll", ast.parse(source))
    assert not breaches_of_plainness("opswatch.core.arm", ast.parse("import msgspec, json"))
