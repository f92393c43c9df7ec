"""Programs of this folder under node, each one process for all questions of a test process."""

import atexit
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.deployment import ROOT


@cache
def _running(name: str) -> subprocess.Popen[str]:
    """Start a program, because its start costs far more than an answer; end it with the tests."""
    program = subprocess.Popen(
        ["node", str(Path(__file__).with_name(name))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(program.communicate)
    return program


def ask(name: str, question: object) -> Any:
    """Return the answer of the program `name` to `question`: each is a line of JSON."""
    program = _running(name)
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(json.dumps(question) + "\n")
    program.stdin.flush()
    answer = program.stdout.readline()
    assert answer, f"{name} has ended with {program.wait()}"
    return json.loads(answer)
