"""Locks what Azure installs: pyproject.toml in, requirements.txt with versions and hashes out."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADING = "# What Azure installs, locked from pyproject.toml by `make requirements`.\n"


def lock(uv: str) -> str:
    """Return the newest versions that pyproject.toml allows, with the hashes of all their files.

    One lock serves all supported Python versions and platforms: `--universal` adds markers.
    """
    oldest = "3.11"
    options = ("--universal", "--generate-hashes", "--no-header", "--quiet")
    done = subprocess.run(
        [uv, "pip", "compile", "pyproject.toml", "--python-version", oldest, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return HEADING + done.stdout


if __name__ == "__main__":
    sys.stdout.write(lock(str(Path(sys.argv[1]).absolute())))
