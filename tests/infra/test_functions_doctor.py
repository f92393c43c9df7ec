"""azure-functions-doctor over what azd would send: a second opinion, of those who see many apps.

It reads little of Bicep (nothing of maps and parameters), so the templates are not shown to it.
"""

import shutil
from pathlib import Path

import pathspec
import pytest
from azure_functions_doctor.doctor import Doctor

ROOT = Path(__file__).parents[2]
# Checks that fail without a fault of ours, and why. One that passes some day has to go from here.
MISTAKEN = {
    "check_programming_model_v2": "it sees decorators of plain functions; ours are coroutines",
    "check_binding_connection_resolution": "it looks for settings in Bicep as lists of name and "
    "value; ours are a map, which checks/settings.py holds to the letter",
    "check_app_insights": "likewise",
}
SOWN = [
    ("check_extension_bundle_v4", "host.json", "[4.*, 5.0.0)", "[2.*, 3.0.0)"),
    ("check_host_json_version", "host.json", '"2.0"', '"1.0"'),
    ("check_azure_functions_library", "requirements.txt", "azure-functions>", "azure-function>"),
    ("check_azure_functions_worker", "requirements.txt", "yarl>=1.18,<2", "azure-functions-worker"),
    ("check_unpinned_requirements", "requirements.txt", "msgspec>=0.19,<1", "msgspec"),
]


@pytest.fixture
def sent(tmp_path: Path) -> Path:
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


def test_it_finds_nothing_wrong_but_what_it_mistakes(sent: Path) -> None:
    assert complaints(sent) == MISTAKEN.keys()


def test_it_finds_what_is_sown(sent: Path) -> None:
    for _, file, old, new in SOWN:
        text = (sent / file).read_text("utf-8")
        assert old in text
        (sent / file).write_text(text.replace(old, new), "utf-8")
    assert complaints(sent) == MISTAKEN.keys() | {rule for rule, *_ in SOWN}
