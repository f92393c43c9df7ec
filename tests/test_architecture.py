"""docs/architecture.md describes each module, step, queue and table, and names no others."""

import ast
import re
from pathlib import Path

import pytest

from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`((?:\w+/)+(?:\w+(?:\.\w+)?)?|\w+\.py)`", PAGE)))
FUNCTIONS = sorted(set(re.findall(r"`((?:core|rows|steps)\.\w+\.\w+)`", PAGE)))
MODULES = [*ROOT.glob("opswatch/*.py"), *ROOT.glob("opswatch/[!_]*/*.py")]
TABLE_OF_FILES = "What is in which file"
DESCRIBED_AS_A_WHOLE = ("opswatch/adapters/", "opswatch/cli/", "opswatch/local/")  # one row each


def first_cells(heading: str) -> list[str]:
    """Return the first cell of each table row in the section `heading`."""
    section = PAGE.partition(f"# {heading}\n")[2].partition("\n#")[0]
    return re.findall(r"^\| (?!---|path|queue or)(.*?) \|", section, re.MULTILINE)


@pytest.mark.parametrize("name", FILES)
def test_named_file_exists(name: str) -> None:
    assert (ROOT / name).exists() or [*ROOT.glob(f"opswatch/**/{name}")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_named_function_exists(name: str) -> None:
    layer, module, function = name.split(".")
    tree = ast.parse((ROOT / "opswatch" / layer / f"{module}.py").read_text(encoding="utf-8"))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert function in {node.name for node in tree.body if isinstance(node, definitions)}


def test_each_module_is_described() -> None:
    modules = {str(path.relative_to(ROOT)) for path in MODULES if path.stem != "__init__"}
    described = set(re.findall(r"opswatch/[\w/]+\.py", " ".join(first_cells(TABLE_OF_FILES))))
    assert described == {name for name in modules if not name.startswith(DESCRIBED_AS_A_WHOLE)}


def test_each_step_is_in_walk_through() -> None:
    steps = {path.stem for path in ROOT.glob("opswatch/steps/*.py")} - {"__init__", "events"}
    assert {name.split(".")[1] for name in FUNCTIONS if name.startswith("steps.")} == steps


def test_each_queue_and_table_is_described() -> None:
    described = [cell.replace("`", "") for cell in first_cells("The life of an operation")]
    assert sorted(described) == sorted([*(f"queue {name}" for name in QUEUES), *TABLES])
