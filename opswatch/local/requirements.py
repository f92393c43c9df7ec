"""Writes requirements.txt from the runtime dependencies in pyproject.toml."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_HEADING = (
    "# Generated from pyproject.toml by `make requirements`: the packages that Azure installs."
)


def requirements(pyproject: Path = ROOT / "pyproject.toml") -> str:
    """Return the text of requirements.txt."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return "\n".join([_HEADING, *project["dependencies"], ""])


if __name__ == "__main__":
    sys.stdout.write(requirements())
