"""docs/local.md works as it is printed: every command is run, in its terminal."""

import subprocess
import sys

import pytest

from tests.docs.walk import PAGE, ROOT, SERVERS, as_pattern, blocks

WALK = (sys.executable, "-m", "tests.docs.walk")
APART = ("unshare", "--map-root-user", "--net")  # in a separate network, if that is permitted


def has_network_apart() -> bool:
    try:
        ran = subprocess.run([*APART, "true"], capture_output=True, check=False, timeout=60)
    except FileNotFoundError:  # another system than Linux
        return False
    return ran.returncode == 0


@pytest.mark.timeout(300)  # six programs and a dozen commands, on a machine that is busy
def test_walk_through_works_as_printed() -> None:
    command = [*APART, *WALK, "--apart"] if has_network_apart() else [*WALK]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )
    assert ran.returncode == 0, ran.stderr


def test_every_terminal_has_commands() -> None:
    found = blocks(PAGE.read_text(encoding="utf-8"))
    assert {name for language, name, _ in found if language == "bash"} == {"all", *SERVERS, "5"}
    assert sum(language == "text" for language, _, _ in found) >= len(SERVERS)


@pytest.mark.parametrize(
    ("expected", "printed", "is_found"),
    [
        ("a\n…\nc", "a\nb\nc\n", True),
        ("a\nc", "a\nb\nc\n", True),
        ("a\n…\nb", "a\nb\n", True),
        ("c\na", "a\nb\nc\n", False),
        ("a … d", "a b c d\n", True),
        ("b", "a b\n", False),
    ],
)
def test_lines_are_compared_in_order(expected: str, printed: str, is_found: bool) -> None:
    assert bool(as_pattern(expected).search(printed)) is is_found
