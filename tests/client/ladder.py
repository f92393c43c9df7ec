"""A ladder of azure-core's versions with the client: `python -m tests.client.ladder PYTHON…`.

Each PYTHON is an interpreter whose environment has what `begin.py` needs; without any, this one.
"""

import asyncio
import json
import os
import sys
from typing import Any

from tests.client import begin
from tests.support.api import Api, running_api
from tests.support.harness import SUBSCRIPTION
from tests.support.trigger import ROOT

KEYS = {"read": "viewer", "write": "operator"}
# How each case ends, in the process that began it and in another one.
EXPECTED: dict[str, dict[str, Any]] = {
    "succeeded": {"status": "Succeeded", "state": "Succeeded"},
    "failed": {
        "status": "Failed",
        "error": "OperationFailedError",
        "code": "DeploymentFailed",
        "inner": "SkuNotAvailable",
    },
    "canceled": {
        "status": "Canceled",
        "error": "OperationCanceledError",
        "code": "Canceled",
        "inner": None,
    },
    "forbidden": {
        "status": "Lost",
        "error": "OperationLostError",
        "code": "OperationLost",
        "inner": None,
    },
    "deleted": {"status": "Succeeded", "value": None},
}


def expected(face: str, source: str, case: str) -> dict[str, Any]:
    """Return how a case ends, but for its id."""
    ends = EXPECTED[case]
    if "error" in ends:
        return {**ends, "isHttp": True, "hasToken": True}
    return {**ends, "name": f"{face}-{source}-{case}"} if "state" in ends else ends


def differences(found: dict[str, dict[str, Any]], tokens: dict[str, str] | None) -> list[str]:
    """Return what is not as it should be; with `tokens`, ids must be the same."""
    cases = {
        f"{face} over {source}, {case}": expected(face, source, case)
        for face in begin.FACES
        for source in begin.SOURCES
        for case in EXPECTED
    }
    wrong = [f"{case}: missing" for case in cases.keys() - found.keys()]
    for case, ended in found.items():
        token = ended.pop("id")
        if ended != cases.get(case) or (tokens and tokens[case] != token):
            wrong.append(f"{case}: {token} {ended}")
    return wrong


async def begin_with(python: str, api: Api, tokens: dict[str, str] | None = None) -> dict[str, Any]:
    """Return how the cases end in a process of an environment, begun there or gone on with."""
    asked = {
        "arm": api.arm.endpoint,
        "token": api.arm.identity.issue("https://management.azure.com").text,
        "subscription": SUBSCRIPTION,
        "url": api.url,
        "keys": KEYS,
        "env": {
            "AzureWebJobsStorage": api.storage,
            "OPSWATCH_ARM_ENDPOINT": api.arm.endpoint,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
        },
        "callback": api.receiver.url,
        **({"tokens": tokens} if tokens else {}),
    }
    process = await asyncio.create_subprocess_exec(
        *(python, begin.__file__),
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(asked).encode())
    answer: dict[str, Any] = json.loads(output)
    return answer


async def climb(python: str, api: Api) -> list[str]:
    """Begin all cases in one process, and go on with them in another; return what is wrong."""
    began = await begin_with(python, api)
    tokens = {case: ended["id"] for case, ended in began["found"].items()}
    again = await begin_with(python, api, tokens)
    wrong = [f"imported: {name}" for name in (*began["heavy"], *again["heavy"])]
    return wrong + differences(began["found"], None) + differences(again["found"], tokens)


async def main() -> int:
    """Run the ladder; return 1 if a poller has ended wrongly."""
    is_good = True
    keys = {function: {key} for function, key in KEYS.items()}
    async with running_api(keys=keys) as api:
        for python in sys.argv[1:] or [sys.executable]:
            wrong = await climb(python, api)
            is_good = is_good and not wrong
            sys.stdout.write(f"{python}: {'; '.join(wrong) or 'all pollers ended rightly'}\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
