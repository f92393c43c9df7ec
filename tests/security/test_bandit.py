"""bandit over all that is shipped; what it finds and is no fault has a reason here."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Finding -> reason. One that is found no more has to leave this list.
ACCEPTED = {
    ("opswatch/adapters/rest.py", "B311"): "spreads retries over time",
    ("opswatch/core/wire/operations.py", "B101"): "tells mypy what the same module has written",
    ("opswatch/steps/finish.py", "B101"): "tells mypy what every caller has made sure of",
    ("opswatch/local/demo/app.py", "B101"): "tells mypy that a pipe that was asked for is there",
    ("opswatch/local/azurite.py", "B404"): "starts the storage emulator",
    ("opswatch/local/azurite.py", "B603"): "its own program, and ports that it chose itself",
    ("opswatch/local/demo/app.py", "B404"): "starts the demo's app",
    ("opswatch/local/simulator/command.py", "B311"): "made-up lives, told by a seed",
    ("opswatch/local/simulator/server.py", "B311"): "made-up lives, told by a seed",
    ("opswatch/local/simulator/identity.py", "B105"): "'Bearer' is the type of a token",
}


def findings(*paths: Path | str) -> Counter[tuple[str, str]]:
    """Return how often bandit finds what in which file; fail where it could not read one."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--format", "json", "--recursive"]
    output = subprocess.run(
        [*command, *map(str, paths)], cwd=ROOT, capture_output=True, check=False
    ).stdout
    report = json.loads(output)
    assert report["errors"] == []
    return Counter((found["filename"], found["test_id"]) for found in report["results"])


def test_nothing_is_found_but_what_is_accepted() -> None:
    assert findings("opswatch", "function_app.py") == dict.fromkeys(ACCEPTED, 1)


def test_nothing_is_silenced_in_place() -> None:
    files = [ROOT / "function_app.py", *(ROOT / "opswatch").rglob("*.py")]
    assert [str(file) for file in files if "# nosec" in file.read_text("utf-8")] == []


def test_what_is_unsafe_is_found(tmp_path: Path) -> None:
    unsafe = tmp_path / "unsafe.py"
    unsafe.write_text("import pickle\npickle.loads(b'')\neval(input())\n")
    assert {test for _, test in findings(unsafe)} >= {"B301", "B307"}
