"""The pure modules of the page under node."""

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_modules_under_node(path: Path) -> None:
    run = subprocess.run(["node", "--test", path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "# pass 0" not in run.stdout
