"""Stand-ins on PATH: `az` gives the answers of a test, and `sleep` only records the time."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SCRIPT = """#!{python} -IS
import json, pathlib, sys
folder = pathlib.Path({folder!r})
text = sys.argv[1:]
command = " ".join(text)
calls = folder / "calls"
seen = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
clock = sum(float(line) for line in (folder / "slept").read_text().split())
for each in reversed(json.loads((folder / "answers").read_text())):
    done = any(each["after"] in call["command"] and call["code"] == 0 for call in seen)
    if each["command"] in command and clock >= each["since"] and (done or not each["after"]):
        break
else:
    each = {{"out": "", "error": "ERROR: no answer for az " + command, "command": None}}
files = [pathlib.Path(part.removeprefix("@")) for part in text if len(part) < 200]
entry = {{
    "command": command,
    "expected": each["command"] is not None,
    "code": 1 if each["error"] and not each["out"] else 0,
    "files": [path.read_text() for path in files if path.is_file()],
}}
with calls.open("a") as file:
    file.write(json.dumps(entry) + "\\n")
print(each["out"])
print(each["error"], file=sys.stderr)
sys.exit(entry["code"])
"""
_SLEEP = """#!/bin/sh
echo "$1" >> {folder}/slept
"""

PAGE = "https://func-ops.azurewebsites.net/api/dashboard"
# Errors as az prints them.
SECRET_NOT_FOUND = (
    "ERROR: (SecretNotFound) A secret with (name/id) callback-secrets was not found in this key "
    "vault. If you recently deleted this secret you may be able to recover it using the correct "
    "recovery command."
)
FORBIDDEN = """ERROR: (Forbidden) Caller is not authorized to perform action on resource.
If role assignments, deny assignments or role definitions were changed recently, please observe \
propagation time.
Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'
Assignment: (not found)
Inner error: {
    "code": "ForbiddenByRbac"
}"""
FIREWALL = """ERROR: (Forbidden) Client address is not authorized.
Inner error: {
    "code": "ForbiddenByFirewall"
}"""


@dataclass
class FakeAz:
    folder: Path
    answers: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "slept").touch()
        for name, text in (("az", _SCRIPT), ("sleep", _SLEEP)):
            file = self.folder / name
            file.write_text(text.format(python=sys.executable, folder=str(self.folder)), "utf-8")
            file.chmod(0o755)

    def answer(
        self, command: str, out: str = "", *, error: str = "", since: float = 0, after: str = ""
    ) -> None:
        """Answer a call that contains `command`: from an instant on, or after another call.

        The last matching answer counts. An error without output is a failure.
        """
        entry = {"command": command, "out": out, "error": error, "since": since, "after": after}
        self.answers.append(entry)
        (self.folder / "answers").write_text(json.dumps(self.answers), "utf-8")

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def called(self, command: str) -> int:
        return sum(command in call["command"] for call in self.calls)

    def sleep(self, seconds: float) -> None:
        with (self.folder / "slept").open("a") as file:
            file.write(f"{seconds}\n")

    def now(self) -> float:
        return sum(float(line) for line in (self.folder / "slept").read_text().split())

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "AZURE_SUBSCRIPTION_ID": "11111111-1111-1111-1111-11111111AAAA",
            "AZURE_LOCATION": "westeurope",
            "AZURE_RESOURCE_GROUP": "rg-ops",
            "AZURE_FUNCTION_NAME": "func-ops",
            "AZURE_KEY_VAULT_NAME": "kv-ops",
            "OPSWATCH_STORAGE_ACCOUNT": "stops",
            "OPSWATCH_URL": "https://func-ops.azurewebsites.net",
            "OPSWATCH_PAGE": PAGE,
            **more,
        }
