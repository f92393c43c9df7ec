"""The group of commands: help, version, usage errors, and when modules are imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from opswatch import __version__, cli
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
each_command = pytest.mark.parametrize("command", cli.COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
async def test_group_lists_every_command(run: Run, arguments: list[str]) -> None:
    result = await run(*arguments)
    assert (result.code, result.err) == (0, "")
    width = max(map(len, cli.COMMANDS))
    for name, summary in cli.COMMANDS.items():
        assert f"  {name:{width}}  {summary}" in result.lines


@each_command
@pytest.mark.parametrize("form", ["{} --help", "{} -h", "help {}"])
async def test_command_help_begins_with_summary(run: Run, command: str, form: str) -> None:
    result = await run(*form.format(command).split())
    assert (result.code, result.err) == (0, "")
    assert result.lines[0].startswith(f"Usage: opswatch {command} ")
    assert result.lines[2] == f"  {cli.COMMANDS[command]}"


async def test_version_is_that_of_the_package(run: Run) -> None:
    result = await run("--version")
    assert (result.code, result.out, result.err) == (0, f"opswatch {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["cancel", "1b2c"], "No such command 'cancel' (see `opswatch --help`)"),
        (["help", "cancel"], "No such command 'cancel' (see `opswatch --help`)"),
        (["show"], "Missing argument 'OPERATION' (see `opswatch show --help`)"),
        (["list", "--top", "x"], "Invalid value for '--top': 'x' is not a valid integer"),
        (["list", "--nope"], "No such option"),
        (["list", "--status", "watching"], "--status watching: it is a state: --state"),
        (["tail", "1b2c", "--until-empty"], "An OPERATION is followed alone: without filters"),
        (["simulate", "--duration", "soon"], "Invalid value for '--duration': 'soon' is not a"),
        (["simulate", "--outcome", "nope"], "Invalid value for '--outcome': 'nope' is not one of"),
    ],
)
async def test_usage_error_is_one_sentence(run: Run, arguments: list[str], error: str) -> None:
    result = await run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(error)
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        ([], set()),
        (["--help"], set()),
        (["--version"], set()),
        (["show", "--help"], {"show"}),
        (["help", "stop"], {"stop"}),
    ],
)
def test_commands_are_imported_when_needed(arguments: list[str], imported: set[str]) -> None:
    program = (
        f"import sys; from opswatch.cli import main; code = main({arguments}); "
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = set(ended.stderr.split())
    commands = {name for name in modules if name.startswith("opswatch.cli.commands.")}
    assert commands == {f"opswatch.cli.commands.{name}" for name in imported}
    assert ("aiohttp" in modules) == bool(imported)


def test_module_runs_as_a_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "opswatch.cli", "show"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "Missing argument 'OPERATION' (see `opswatch show --help`)\n"
