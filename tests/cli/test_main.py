"""The program `opswatch` where packages are missing, as they are beside the client alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


WITHOUT = """
import sys

class Missing:
    def find_spec(name, *_):
        if name == MODULE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MODULE, *sys.argv[1:] = sys.argv[1:]
sys.meta_path.insert(0, Missing)
from opswatch.__main__ import main
sys.exit(main())
"""


def run_without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program with `module` missing."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("click", ["--help"]), ("click", ["secret"]), ("rich", ["list"]), ("yarl", ["doctor"])],
)
def test_missing_package_is_one_line(package: str, arguments: list[str]) -> None:
    ended = run_without(package, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"The terminal needs the package {package}: pip install 'opswatch[local]'\n"
    )


def test_missing_module_of_opswatch_is_a_defect() -> None:
    ended = run_without("opswatch.cli.commands.secret", "secret")
    assert ended.returncode == 1
    assert "ModuleNotFoundError" in ended.stderr


def test_program_runs_as_a_module() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "opswatch", "--version"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.startswith("opswatch ")
