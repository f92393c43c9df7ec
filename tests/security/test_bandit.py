"""bandit over all shipped code; every finding that is not a fault has a reason here."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Finding -> reason. A finding that disappears must leave this list.
ACCEPTED = {
    ("opswatch/adapters/rest.py", "B311"): "spreads retries over time",
    ("opswatch/process.py", "B311"): "spreads messages that are kept over time",
    ("opswatch/steps/finish.py", "B101"): "narrows a type: every caller has kept an end",
    ("opswatch/core/secret_forms.py", "B101"): "narrows a type: the patterns match the empty text",
    ("opswatch/local/demo/app.py", "B101"): "narrows a type: the pipe was asked for",
    ("opswatch/cli/__init__.py", "B105"): "the summary of a command",
    ("opswatch/local/azurite.py", "B404"): "starts the storage emulator",
    ("opswatch/local/azurite.py", "B603"): "its own program, on ports that it chose",
    ("opswatch/local/demo/app.py", "B404"): "starts the demo's app",
    ("opswatch/local/simulator/serve.py", "B311"): "seeded scenarios",
    ("opswatch/local/simulator/server.py", "B311"): "seeded scenarios",
    ("opswatch/health.py", "B105"): "what to do if a token is refused",
    ("opswatch/local/simulator/identity.py", "B105"): "'Bearer' is the type of a token",
}


def findings(*paths: Path | str) -> Counter[tuple[str, str]]:
    """Return the findings of bandit; fail if it cannot read a file."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--format", "json", "--recursive"]
    output = subprocess.run(
        [*command, *map(str, paths)], cwd=ROOT, capture_output=True, check=False
    ).stdout
    report = json.loads(output)
    assert report["errors"] == []
    return Counter((found["filename"], found["test_id"]) for found in report["results"])


def test_only_accepted_findings_remain() -> None:
    assert findings("opswatch", "function_app.py") == dict.fromkeys(ACCEPTED, 1)


def test_code_silences_no_finding() -> None:
    files = [ROOT / "function_app.py", *(ROOT / "opswatch").rglob("*.py")]
    assert [str(file) for file in files if "# nosec" in file.read_text("utf-8")] == []


def test_unsafe_code_is_found(tmp_path: Path) -> None:
    unsafe = tmp_path / "unsafe.py"
    unsafe.write_text("import pickle\npickle.loads(b'')\neval(input())\n")
    assert {test for _, test in findings(unsafe)} >= {"B301", "B307"}
