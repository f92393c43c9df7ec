"""The templates, compiled and evaluated by Bicep itself."""

import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep import VERSION, Bicep, find_bicep
from tests.infra.deployment import (
    BASE,
    ORDER,
    ROOT,
    SETS,
    Deployment,
    as_kept,
    evaluate,
    evaluate_role,
    kept,
)
from tests.infra.rules import RULES, role_alone_is_exact
from tests.infra.variables import INVALID, VALID

TEMPLATES = sorted(path.relative_to(ROOT / "infra") for path in ROOT.glob("infra/**/*.bicep*"))
TEMPLATES = [path for path in TEMPLATES if path.suffix in (".bicep", ".bicepparam")]
Evaluate = Callable[[str], Deployment]


@pytest.fixture(scope="session")
def evaluated(bicep: Bicep, infra: Path) -> Evaluate:
    return cache(lambda name: evaluate(bicep, infra, name))


@pytest.mark.parametrize("file", TEMPLATES, ids=str)
def test_template_compiles_without_diagnostics(bicep: Bicep, infra: Path, file: Path) -> None:
    if file.suffix == ".bicepparam":
        assert bicep.parameters(infra / file, BASE)
    else:
        assert bicep.diagnostics(infra / file) == []


@pytest.mark.parametrize("file", TEMPLATES, ids=str)
def test_template_is_formatted(bicep: Bicep, infra: Path, file: Path) -> None:
    assert bicep.formatted(infra / file) == (infra / file).read_text("utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", SETS)
def test_deployment_follows_rule(
    evaluated: Evaluate, name: str, rule: Callable[[Deployment], None]
) -> None:
    rule(evaluated(name))


@pytest.mark.parametrize("name", SETS)
def test_deployment_matches_kept_snapshot(bicep: Bicep, evaluated: Evaluate, name: str) -> None:
    found = json.loads(as_kept(evaluated(name)))
    assert found == json.loads(kept(name)), (
        f"if the change is deliberate: `make snapshots` (with Bicep {VERSION}; "
        f"this one is {bicep.version()})"
    )


@pytest.mark.parametrize("file", ORDER)
def test_resources_wait_for_each_other(bicep: Bicep, infra: Path, file: str) -> None:
    assert ORDER[file] - bicep.order(infra / file) == set()


def test_role_can_be_deployed_alone(bicep: Bicep, infra: Path) -> None:
    role_alone_is_exact(evaluate_role(bicep, infra))


def test_readme_names_the_compiler_version() -> None:
    assert f"Bicep {VERSION}" in (ROOT / "infra/README.md").read_text("utf-8")


@pytest.mark.parametrize(("variable", "text", "parameter", "expected"), VALID)
def test_variable_sets_parameter(
    bicep: Bicep, infra: Path, variable: str, text: str, parameter: str, expected: Any
) -> None:
    found = bicep.parameters(infra / "main.bicepparam", {**BASE, variable: text})
    assert found[parameter] == expected


@pytest.mark.parametrize(("variable", "text"), INVALID)
def test_invalid_variable_is_named(bicep: Bicep, infra: Path, variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"{variable} must"):
        bicep.parameters(infra / "main.bicepparam", {**BASE, variable: text})


def test_every_checked_variable_has_an_invalid_case() -> None:
    text = (ROOT / "infra/main.bicepparam").read_text("utf-8")
    assert {variable for variable, _ in INVALID} == {
        part.split(" must")[0] for part in text.split("fail('")[1:]
    }


def test_environment_is_read_as_the_tests_assume(bicep: Bicep, infra: Path) -> None:
    env = {**BASE, **SETS["everything"]}
    done = subprocess.run(
        [str(find_bicep()), "build-params", str(infra / "main.bicepparam"), "--stdout"],
        env={**os.environ, **env},
        capture_output=True,
        check=True,
    )
    given = json.loads(json.loads(done.stdout)["parametersJson"])["parameters"]
    assert {name: each["value"] for name, each in given.items()} == bicep.parameters(
        infra / "main.bicepparam", env
    )
