"""The files around the templates, and the configuration of the checks themselves."""

import json
import re
from types import ModuleType

import pytest

from tests.infra.checks import CHECKS, Project
from tests.infra.checks.kusto import analyse
from tests.infra.checks.workflows import lint


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.rsplit(".", 1)[1])
def test_check_has_no_findings(check: ModuleType) -> None:
    assert [str(each) for each in check.check(Project())] == []


def test_actionlint_finds_unknown_key() -> None:
    text = "on: push\njobs: {a: {runs-on: ubuntu-24.04, need: b, steps: [{run: ls}]}}\n"
    assert ["need" in each["message"] for each in lint("a.yml", text)] == [True]


def test_kusto_parser_finds_unknown_column() -> None:
    (error,) = analyse("AppMetrics | where Nme == 1")["errors"]
    assert "Nme" in error


@pytest.mark.parametrize("name", ["infra/bicepconfig.json", ".devcontainer/devcontainer.json"])
def test_json_parses(name: str) -> None:
    assert json.loads(Project().read(name))


def test_linter_rules_are_errors() -> None:
    rules = Project().json("infra/bicepconfig.json")["analyzers"]["core"]["rules"]
    assert {rule["level"] for rule in rules.values()} == {"error"}
    assert {"what-if-short-circuiting", "explicit-values-for-loc-params"} <= rules.keys()


def test_disabled_rules_have_reasons() -> None:
    for name, text in Project().templates().items():
        for line in re.findall(r"(.*)\n\s*#disable-next-line .*", text):
            assert line.strip().startswith("//"), name


def test_every_checkov_skip_has_a_reason() -> None:
    skips = re.findall(r"^  - (.*)$", Project().read("infra/checkov.yaml"), re.MULTILINE)
    assert skips
    assert [skip for skip in skips if not re.fullmatch(r"CKV_AZURE_\d+ # .{20,}", skip)] == []


def test_ci_runs_checkov_and_finds_bicep() -> None:
    script = Project().read(".ci/run")
    assert "make infra-check" in script
    assert "../shared/tools" in script
