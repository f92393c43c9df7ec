"""The examples that cannot be run here are checked by the tools of their languages."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent


def test_shellcheck_finds_nothing() -> None:
    scripts = sorted(EXAMPLES.rglob("*.sh"))
    assert len(scripts) > 3
    subprocess.run([BIN / "shellcheck", "--severity=style", *scripts], check=True)
