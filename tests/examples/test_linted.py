"""The examples that cannot be run here are checked by the tools of their languages."""

import json
import subprocess
import sys
from pathlib import Path

import hcl2
import pytest
import tree_sitter_c_sharp
import tree_sitter_powershell
import yaml
from tree_sitter import Language, Node, Parser

from tests.examples.apps import EXAMPLES
from tests.infra.bicep import Bicep
from tests.infra.checks.workflows import check_pins, lint

BIN = Path(sys.executable).parent


def files(pattern: str) -> list[Path]:
    found = sorted(EXAMPLES.rglob(pattern))
    assert found, pattern
    return found


def test_shellcheck_finds_nothing() -> None:
    scripts = files("*.sh")
    assert [path for path in scripts if not path.stat().st_mode & 0o100] == []
    subprocess.run([BIN / "shellcheck", "--severity=style", *scripts], check=True)


# --- workflows


def test_actionlint_finds_nothing() -> None:
    for path in files("github-actions/*.yml"):
        text = path.read_text("utf-8")
        assert lint(path.name, text) == []
        assert list(check_pins(path.name, text)) == []


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [("github-workflows", "github-actions/*.yml"), ("azure-pipelines", "azure-pipelines/*.yml")],
)
def test_workflows_follow_their_schema(schema: str, pattern: str) -> None:
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", f"vendor.{schema}"]
    command += ["--data-transform", "azure-pipelines"] if schema == "azure-pipelines" else []
    subprocess.run([*command, *files(pattern)], check=True)


def test_dispatch_is_received() -> None:
    workflow = yaml.safe_load((EXAMPLES / "github-actions/continue.yml").read_text("utf-8"))
    types = workflow[True]["repository_dispatch"]["types"]  # YAML 1.1 reads `on` as a truth value
    ends = ("succeeded", "failed", "canceled", "timedout", "lost")
    assert types == [f"opswatch.operation.{end}" for end in ends]


# --- the rest


def faults(node: Node) -> list[str]:
    own = [f"line {node.start_point.row + 1}"] if node.is_error or node.is_missing else []
    return own + [fault for child in node.children for fault in faults(child)]


def parse(language: object, text: bytes) -> list[str]:
    return faults(Parser(Language(language)).parse(text).root_node)


def parse_powershell(text: bytes) -> list[str]:
    return parse(tree_sitter_powershell.language(), text)


def test_powershell_can_be_parsed() -> None:
    for path in files("powershell/*.ps1"):
        text = path.read_bytes()
        assert parse_powershell(text) == []
        assert parse_powershell(text.replace(b"param(", b"param[", 1)) != []


def test_csharp_can_be_parsed() -> None:
    for path in files("*.cs"):
        text = path.read_bytes().replace(b"#:sdk", b"// ")  # a directive of `dotnet run`
        assert parse(tree_sitter_c_sharp.language(), text) == []
        assert parse(tree_sitter_c_sharp.language(), text.replace(b"{", b"(", 1)) != []


def test_terraform_can_be_parsed() -> None:
    for path in files("*.tf"):
        text = path.read_text("utf-8")
        (resource,) = hcl2.loads(text)["resource"]
        assert set(json.loads(json.dumps(resource))) == {'"azapi_resource"'}


def test_bicep_finds_nothing(bicep: Bicep) -> None:
    for path in files("*.bicep"):
        assert bicep.diagnostics(path) == []
        assert bicep.formatted(path) == path.read_text("utf-8")


def test_every_example_is_in_the_list() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert {name for name in folders if f"({name})" not in page} == set()
    for path in EXAMPLES.rglob("*.json"):
        json.loads(path.read_text("utf-8"))
