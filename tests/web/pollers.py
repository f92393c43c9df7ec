"""A ladder of azure-core's versions against the running app: `python -m tests.web.pollers PYTHON…`.

Each PYTHON is an interpreter whose environment has azure-core and aiohttp; without any, this one.
"""

import asyncio
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.support.api import ENDS, Api, running_api

CLIENT = Path(__file__).with_name("poll_client.py")
# What a poller of Operation-Location reports of each end: its status, and the error's code.
REPORTED: dict[str, tuple[str, str | None]] = {
    "Succeeded": ("Succeeded", None),
    "Failed": ("Failed", "DeploymentFailed"),
    "Canceled": ("Canceled", "Canceled"),
    "TimedOut": ("Failed", "OperationTimedOut"),
    "Lost": ("Failed", "OperationLost"),
    "Stopped": ("Canceled", "OperationStopped"),
}


def expected(way: str, end: str) -> dict[str, Any]:
    """Return how a poller ends: by Location it only ends, and the row names the end."""
    if way.endswith("by location"):
        return {"status": "Succeeded", "row": end, "code": None}
    status, code = REPORTED[end]
    return {"status": status, "row": end if code is None else None, "code": code}


async def poll_with(
    python: str, api: Api, ends: Collection[str] = REPORTED
) -> dict[str, dict[str, Any]]:
    """Return how each poller of an environment has ended, by its way and the end."""
    posts = {
        end: {"operation": api.start(script, 4), "timeout": "PT30S"}
        for script, end in ENDS.items()
        if end in ends
    }
    if "Stopped" in ends:
        posts["Stopped"] = {"operation": api.start("never-ending")}
    process = await asyncio.create_subprocess_exec(
        *(python, str(CLIENT)),
        cwd="/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    asked = json.dumps({"url": api.url, "posts": posts}).encode()
    output, _ = await process.communicate(asked)
    found: dict[str, dict[str, Any]] = json.loads(output)
    return found


def differences(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is not as it should be."""
    return [
        f"{way}, {end}: {ended}"
        for way, ends in found.items()
        for end, ended in ends.items()
        if ended != expected(way, end)
    ]


async def main() -> int:
    """Run the ladder; return 1 if a poller has ended wrongly."""
    is_good = True
    async with running_api() as api:
        for python in sys.argv[1:] or [sys.executable]:
            wrong = differences(await poll_with(python, api))
            is_good = is_good and not wrong
            sys.stdout.write(f"{python}: {'; '.join(wrong) or 'all pollers ended rightly'}\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
