"""Schemathesis against the running app: `python -m tests.web.fuzz --examples 300`.

Three modes: without keys, with a viewer's key, and with an operator's. All checks, stateful too.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opswatch.local.azurite import running_azurite
from opswatch.local.host.http import Keys
from opswatch.web.openapi import document
from tests.support.api import ENDS, Api, running_api

CONFIG = Path(__file__).with_name("schemathesis.toml")
KEYS: Keys = {"read": {"viewer", "operator"}, "write": {"operator"}}
PHASES = ("examples", "coverage", "fuzzing", "stateful")  # of schemathesis, in its order
_OUTPUT = 20_000  # characters of a failed run


@dataclass(frozen=True, slots=True)
class Mode:
    """Who sends the requests."""

    keys: Keys | None
    key: str | None

    def document(self) -> dict[str, Any]:
        """Return the document; the host asks for no key unless it was told to.

        Its posts are narrowed to what is often accepted, so that there is something to look at.
        """
        described: dict[str, Any] = json.loads(json.dumps(document()))
        post = described["components"]["schemas"]["Post"]
        for name in ("id", "operationId", "subscriptionId", "location", "provider", "collection"):
            del post["properties"][name]
        for name, pattern in _LIKELY.items():
            post["properties"][name] = {"type": "string", "pattern": pattern}
        post["required"] = ["operation"]
        if self.keys is None:
            for methods in described["paths"].values():
                for operation in methods.values():
                    del operation["security"]
        return described


_LIKELY = {
    "operation": "^[A-Za-z0-9_-]{1,24}$",
    "callbackUrl": "^https://[a-z]{3,9}[.]example[.]com/[a-z]{0,5}$",
    "timeout": "^PT[1-9]H$",
    "apiVersion": "^20[0-9]{2}-01-01$",
}
MODES = {
    "no key": Mode(None, None),
    "viewer": Mode(KEYS, "viewer"),
    "operator": Mode(KEYS, "operator"),
}


async def run(
    mode: Mode, api: Api, examples: int, seed: int, phases: Sequence[str] = PHASES
) -> str:
    """Return what schemathesis has found at an app with the keys of `mode`; empty if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "openapi.json"
        described.write_text(json.dumps(mode.document()), "utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis as run; run()"),
            *("--config-file", str(CONFIG), "run", str(described), "--url", api.url),
            *("--max-examples", str(examples), "--seed", str(seed), "--no-color"),
            *("--phases", ",".join(phases)),
            *(("-H", f"x-functions-key: {mode.key}") if mode.key else ()),
            # The host itself answers TRACE, and a viewer's request to the operator's function.
            *("--exclude-checks", "unsupported_method"),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    await _still_works(api, mode)
    return "" if process.returncode == 0 else output.decode()[-_OUTPUT:]


async def _still_works(api: Api, mode: Mode) -> None:
    """Post an operation of each end: what came before must not have stopped the app."""
    if mode.key == "viewer":
        return
    for script in ENDS:
        assert await api.post(api.start(script), key=mode.key) == 202, script


async def run_all(examples: int, seed: int) -> int:
    """Run every mode, each at an app of its own; return 1 if one has found something."""
    is_found = False
    with running_azurite() as azurite:
        for name, mode in MODES.items():
            async with running_api(azurite, mode.keys) as api:
                output = await run(mode, api, examples, seed)
            sys.stdout.write(f"{name}: {output or 'nothing found'}\n")
            is_found = is_found or bool(output)
    return int(is_found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(asyncio.run(run_all(given.examples, given.seed)))
