"""azure-functions-doctor over the files that azd would deploy.

It reads little of Bicep (neither maps nor parameters), so it does not get the templates.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pathspec
import pytest
from azure_functions_doctor.doctor import Doctor

ROOT = Path(__file__).parents[2]
# Checks that are mistaken, with the reason. One that passes in a later version must be removed.
MISTAKEN = {
    "check_programming_model_v2": "it knows decorators of functions only; ours are coroutines",
    "check_binding_connection_resolution": "it expects settings in Bicep as a list of names and "
    "values; ours are a map, which tests/infra/deployment.py checks",
    "check_app_insights": "as above",
    "check_native_dependency_risk": "the lock lists what azure-identity has always installed; the "
    "remote build installs it as wheels",
}
SEEDED = [
    ("check_extension_bundle_v4", "host.json", "[4.*, 5.0.0)", "[2.*, 3.0.0)"),
    ("check_host_json_version", "host.json", '"2.0"', '"1.0"'),
    ("check_azure_functions_library", "requirements.txt", "azure-functions==", "azure-function=="),
    ("check_azure_functions_worker", "requirements.txt", "yarl==", "azure-functions-worker=="),
    ("check_unpinned_requirements", "requirements.txt", "msgspec==", "msgspec\n#"),
]


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    names = ["function_app.py", "host.json", "requirements.txt", ".funcignore"]
    names += [str(path.relative_to(ROOT)) for path in (ROOT / "opswatch").rglob("*.py")]
    for name in ignored.match_files(names, negate=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def complaints(app: Path) -> set[str]:
    doctor = Doctor(
        str(app), profile="deploy", target_python="3.13", hosting_plan="flex-consumption"
    )
    items = [item for section in doctor.run_all_checks() for item in section["items"]]
    assert len(items) > 25
    return {item["rule_id"] for item in items if item["status"] not in ("pass", "skip")}


def test_doctor_finds_only_its_mistakes(deployed: Path) -> None:
    assert complaints(deployed) == MISTAKEN.keys()


def test_every_deployed_module_can_be_imported(deployed: Path) -> None:
    code = (
        "import function_app, importlib, opswatch, pkgutil\n"
        "for each in pkgutil.walk_packages(opswatch.__path__, 'opswatch.'):\n"
        "    importlib.import_module(each.name)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=deployed, check=True)


def test_doctor_finds_seeded_faults(deployed: Path) -> None:
    for _, file, old, new in SEEDED:
        text = (deployed / file).read_text("utf-8")
        assert old in text
        (deployed / file).write_text(text.replace(old, new), "utf-8")
    assert complaints(deployed) == MISTAKEN.keys() | {rule for rule, *_ in SEEDED}
