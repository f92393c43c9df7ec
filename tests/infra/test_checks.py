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


def test_checkov_reads_all_that_it_is_said_to_read() -> None:
    beyond_it = {source.name for source in Project().sources.values() if b"=>" in source.data}
    assert beyond_it == {"infra/main.bicep", "infra/modules/operation-reader.bicep"}


def test_everything_that_must_hold_includes_checkov() -> None:
    assert "make infra-check" in Project().read(".ci/run")
