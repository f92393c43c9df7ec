"""The commands in the README's section on the terminal work as printed."""

import json
import re
import shlex
from pathlib import Path
from uuid import uuid4

from opswatch.core.http import HttpResponse
from opswatch.core.watches import FinalStatus
from tests.cli.conftest import CommandResult, Operations, Run
from tests.support.builders import ID, arm_error

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
(BLOCK,) = (
    block
    for block in re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    if block.startswith("opswatch ")
)


async def test_commands_work_as_printed(run: Run, operations: Operations) -> None:
    own_id = str(uuid4())  # other tests' operations have the same ID as the README's
    post = {"operation": own_id, "callbackUrl": "http://127.0.0.1:8080/hook"}
    key = await operations.watch(json.dumps(post))
    await operations.end(key, FinalStatus.FAILED, arm_error("Conflict"))
    await operations.attempt(key, HttpResponse(410, {}))
    ran: list[CommandResult] = []
    for line in BLOCK.splitlines():
        program, *arguments = shlex.split(line.replace(ID[:8], own_id[:8]), comments=True)
        assert program == "opswatch"
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        ran.append(await run(*arguments))
    failed, abandoned, exported, waited = ran
    assert (failed.code, abandoned.code, exported.code, waited.code) == (0, 0, 0, 1)
    assert own_id[:8] in failed.out
    assert "Conflict" in failed.out
    assert "410" in abandoned.out
    assert sum(own_id in line for line in exported.out.splitlines()) == 1
    assert "," in exported.lines[0]
