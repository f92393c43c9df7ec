"""Faults seeded one at a time into a copy of the project, each of which must be found."""

import shutil
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.bicep import Bicep
from tests.infra.checks import CHECKS, Project
from tests.infra.deployment import (
    BASE,
    ORDER,
    ROOT,
    SETS,
    as_kept,
    evaluate,
    evaluate_role,
    kept,
)
from tests.infra.rules import RULES, role_alone_is_exact
from tests.infra.variables import INVALID, VALID

COPIED = (
    ".devcontainer/devcontainer.json",
    ".funcignore",
    ".github",
    "azure.yaml",
    "docs/runbook.md",
    "docs/telemetry.md",
    "function_app.py",
    "host.json",
    "infra",
    "local.settings.sample.json",
)


class Fault(NamedTuple):
    name: str
    file: str
    old: str
    new: str

    def copy(self, folder: Path) -> Path:
        """Copy the project with this fault: into a new folder, for the compiler keeps files."""
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        path = folder / self.file
        text = path.read_text("utf-8")
        assert self.old in text, f"{self.file} no longer contains {self.old!r}"
        path.write_text(text.replace(self.old, self.new, 1), "utf-8")
        return folder


FAULTS = [
    Fault(name, file, *texts)
    for file, faults in tomllib.loads(Path(__file__).with_name("faults.toml").read_text()).items()
    for name, texts in faults.items()
]


def is_of_templates(fault: Fault) -> bool:
    is_compiled = fault.file.endswith((".bicep", ".bicepparam", "abbreviations.json"))
    return fault.file.startswith("infra/") and is_compiled


def findings(bicep: Bicep, infra: Path) -> Iterator[str]:
    """Yield what is wrong with the templates in `infra`, the checks that find most first."""
    yield from deployment_findings(bicep, infra, "everything")
    yield from bicep.diagnostics(infra / "main.bicep")
    for file, edges in ORDER.items():
        for source, target in edges - bicep.order(infra / file):
            yield f"{file}: {source} does not wait for {target}"
    for name in SETS.keys() - {"everything"}:
        yield from deployment_findings(bicep, infra, name)
    try:
        role_alone_is_exact(evaluate_role(bicep, infra))
    except (AssertionError, RuntimeError):
        yield "role alone"
    yield from variable_findings(bicep, infra / "main.bicepparam")


def deployment_findings(bicep: Bicep, infra: Path, name: str) -> Iterator[str]:
    try:
        deployment = evaluate(bicep, infra, name)
    except RuntimeError as error:
        yield f"{name}: {error}"
        return
    for rule in RULES:
        try:
            rule(deployment)
        except (AssertionError, LookupError, ValueError):
            yield f"{name}: {rule.__name__}"
    if as_kept(deployment) != kept(name):
        yield f"{name}: differs from the kept snapshot"


def variable_findings(bicep: Bicep, file: Path) -> Iterator[str]:
    for variable, text, parameter, expected in VALID:
        if bicep.parameters(file, {**BASE, variable: text})[parameter] != expected:
            yield f"{variable}={text} does not set {parameter} to {expected}"
    for variable, text in INVALID:
        with suppress(ValueError):
            bicep.parameters(file, {**BASE, variable: text})
            yield f"{variable}={text} is accepted"


def other_findings(root: Path) -> Iterator[str]:
    for check in CHECKS:
        yield from map(str, check.check(Project(root)))


@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if is_of_templates(each)], ids=lambda each: each.name
)
def test_fault_of_templates_is_found(fault: Fault, bicep: Bicep, tmp_path: Path) -> None:
    root = fault.copy(tmp_path)
    assert next(findings(bicep, root / "infra"), None) or next(other_findings(root), None)


@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if not is_of_templates(each)], ids=lambda each: each.name
)
def test_fault_around_templates_is_found(fault: Fault, tmp_path: Path) -> None:
    assert next(other_findings(fault.copy(tmp_path)), None)
