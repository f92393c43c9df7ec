"""requirements.txt: a complete lock of what pyproject.toml asks for, without network."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "requirements.txt").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [Requirement(each) for each in [*PROJECT["dependencies"], *EXTRAS["app"]]]
PYTHONS = ["3.11", "3.12", "3.13"]


def locked(text: str = TEXT) -> list[tuple[Requirement, list[str]]]:
    """Return each locked requirement with its hashes; raise ValueError at anything else."""
    found: list[tuple[Requirement, list[str]]] = []
    for entry in text.replace("\\\n", " ").splitlines():
        line = entry.partition(" # ")[0].strip()
        if not line or line.startswith("#"):
            continue
        requirement, *hashes = line.split(" --hash=")
        if not all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes):
            raise ValueError(line)
        found.append((Requirement(requirement.strip()), hashes))
    return found


def versions_on(python: str) -> dict[str, str]:
    """Return the locked versions that pip installs on Linux with `python`."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
    }
    found: dict[str, str] = {}
    for each, _ in locked():
        if each.marker is None or Marker(str(each.marker)).evaluate(environment):
            assert each.name not in found
            (specifier,) = each.specifier
            assert specifier.operator == "=="
            found[each.name] = specifier.version
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_the_project(python: str) -> None:
    versions = versions_on(python)
    assert [each.name for each in WANTED if versions[each.name] not in each.specifier] == []


def test_every_version_has_hashes() -> None:
    assert len(locked()) > len(WANTED)
    assert [each.name for each, hashes in locked() if not hashes] == []


def test_every_package_is_required_by_another() -> None:
    causes = set(re.findall(r"^    #(?: via|  ) (\S+)", TEXT, re.MULTILINE))
    names = {each.name for each, _ in locked()}
    assert {each for each in causes if each not in {*names, "opswatch"}} == set()
    direct = set(re.findall(r"^(\S+?)==(?:(?!^\S).*\n)*? +# .*opswatch \(", TEXT, re.MULTILINE))
    assert direct == {each.name for each in WANTED}


def test_lock_names_no_index() -> None:
    assert "make requirements" in TEXT.partition("\n")[0]
    assert re.findall(r"https?:|--(?:extra-)?index-url|--find-links", TEXT) == []


def test_telemetry_version_has_a_minimum() -> None:
    (telemetry,) = (each for each in WANTED if each.name == "azure-monitor-opentelemetry")
    assert "1.8.10" not in telemetry.specifier
    assert "1.8.11" in telemetry.specifier


def test_extras_agree_on_versions() -> None:
    local = {Requirement(each).name: each for each in EXTRAS["local"]}
    both = {each.name: str(each) for each in WANTED if each.name in local}
    assert len(both) > 2
    assert {name: str(Requirement(local[name])) for name in both} == both


def test_damaged_lock_is_refused() -> None:
    with pytest.raises(ValueError, match="msgspec"):
        locked("msgspec==0.22.0 --hash=sha256:abc")
