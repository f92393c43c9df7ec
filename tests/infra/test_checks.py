"""Everything that deploys opswatch, held to its checks; sown faults show what they are worth."""

import json
import re
from types import ModuleType

import pytest

from tests.infra.checks import CHECKS, Project
from tests.infra.checks.project import TYPE_FILES


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.rsplit(".", 1)[1])
def test_finds_nothing_wrong(check: ModuleType) -> None:
    assert [str(each) for each in check.check(Project())] == []


@pytest.mark.skipif(
    not TYPE_FILES.is_dir(), reason="Bicep's type files are not beside the checkout"
)
def test_type_files_cover_every_resource() -> None:
    project = Project()
    resources = [each for source in project.sources.values() for each in source.all("resource")]
    assert len(resources) > 30
    own = ("Microsoft.KeyVault/", "Microsoft.Network/")
    for resource in resources:
        if not resource.resource_type.startswith(own):
            namespace, version = resource.literal.split("/")[0], resource.literal.split("@")[1]
            assert (TYPE_FILES / namespace.lower() / version).is_dir()


@pytest.mark.parametrize("name", ["infra/bicepconfig.json", ".devcontainer/devcontainer.json"])
def test_json_parses(name: str) -> None:
    assert json.loads(Project().read(name))


def test_linter_rules_are_errors() -> None:
    rules = Project().json("infra/bicepconfig.json")["analyzers"]["core"]["rules"]
    assert {rule["level"] for rule in rules.values()} == {"error"}


def test_every_skip_of_checkov_has_its_reason() -> None:
    skips = re.findall(r"^  - (.*)$", Project().read("infra/checkov.yaml"), re.MULTILINE)
    assert skips
    assert [skip for skip in skips if not re.fullmatch(r"CKV_AZURE_\d+ # .{20,}", skip)] == []
