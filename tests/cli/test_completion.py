"""The command completion: a script for each shell, and what the shells are answered."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opswatch import cli
from tests.cli.conftest import Run

# What registers the script at the shell.
REGISTERED = {
    "bash": "complete -o nosort -F _opswatch_completion opswatch",
    "zsh": "#compdef opswatch",
    "fish": "complete --no-files --command opswatch",
    "powershell": "Register-ArgumentCompleter -Native -CommandName opswatch",
}
PROGRAM = """#!{python}
import sys
from opswatch.cli import main
try:
    main()
finally:
    assert "aiohttp" not in sys.modules, "a command was imported"
"""


@pytest.mark.parametrize("shell", REGISTERED)
async def test_script_registers_at_its_shell(run: Run, shell: str) -> None:
    result = await run("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert REGISTERED[shell] in result.out
    assert f"_OPSWATCH_COMPLETE={shell}_complete" in result.out.replace("$env:", "").replace(
        " = '", "="
    )


async def test_unknown_shell_is_one_sentence(run: Run) -> None:
    result = await run("completion", "tcsh")
    assert result.code == 2
    assert result.err.startswith("Invalid value for '{bash|zsh|fish|powershell}': 'tcsh' is not")


async def test_missing_shell_is_one_line(run: Run) -> None:
    result = await run("completion")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.endswith("bash, zsh, fish, powershell (see `opswatch completion --help`)")


def asked(
    shell: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return the answer to a shell at whose prompt `words` stand."""
    split = words.split(" ")
    # fish passes the word that is being typed, the others its number.
    position = split[-1] if shell == "fish" else str(len(split) - 1)
    monkeypatch.setenv("_OPSWATCH_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", position)
    assert cli.main([]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", REGISTERED)
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("opswatch sho", ["show"]),
        ("opswatch completion f", ["fish"]),
        ("opswatch help red", ["redeliver"]),
        ("opswatch help exit", ["exit-codes"]),
        ("opswatch simulate --thr", ["--throttle"]),
        ("opswatch listen -o jsonl", ["jsonl"]),
        ("opswatch nothing x", []),
    ],
)
def test_words_are_completed(
    shell: str,
    words: str,
    completions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = set(re.split(r"[,\t\n]", asked(shell, words, monkeypatch, capsys)))
    assert set(completions) <= named
    assert not named & (set(cli.COMMANDS) - set(completions))


def test_every_command_is_completed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = asked("bash", "opswatch ", monkeypatch, capsys)
    assert answer.split() == [f"plain,{name}" for name in (*cli.COMMANDS, "help")]


def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    program = tmp_path / "opswatch"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o700)
    script = (
        'eval "$(opswatch completion bash)"; COMP_WORDS=(opswatch li); COMP_CWORD=1; '
        '_opswatch_completion opswatch; echo "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    ended = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("list listen\n", "")
