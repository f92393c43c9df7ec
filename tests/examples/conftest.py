"""The running app, with its keys, and a stand-in for `az`.

The stand-in starts operations of the simulated ARM, and sends messages to Azurite.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from opswatch.local.azurite import Azurite
from tests.infra.conftest import bicep
from tests.support.api import Api, running_api

__all__ = ["bicep"]

# It prints an answer as `az --debug` does (azure.cli.core.sdk.policies, and `az rest` likewise).
AZ = """#!{python}
import json, os, sys, urllib.request
from azure.storage.queue import QueueClient

arguments = sys.argv[1:]
given = {{name: value for name, value in zip(arguments, arguments[1:]) if name.startswith("--")}}
if arguments[:3] == ["storage", "message", "put"]:
    assert given["--auth-mode"] == "login" and given["--time-to-live"] == "-1"
    queue = QueueClient.from_connection_string(os.environ["STORAGE"], given["--queue-name"])
    queue.send_message(given["--content"], time_to_live=-1)
    with open(os.environ.get("SENT", os.devnull), "a") as sent:
        print(given["--content"], file=sent)
    sys.exit()
if os.environ.get("AZ_FAILS"):
    print("DEBUG: cli.knack.cli: a line\\nERROR: (AuthorizationFailed) No.", file=sys.stderr)
    sys.exit(1)
assert "--debug" in arguments and ("--no-wait" in arguments or arguments[0] == "rest")
request = urllib.request.Request(
    os.environ["ARM"] + "/simulator/operations", os.environ["SCENARIO"].encode(), method="PUT"
)
with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request) as answer:
    started = json.load(answer)
print("{{}}")
header = os.environ.get("HEADER", "Azure-AsyncOperation")
headers = {{"Cache-Control": "no-cache", header: started["url"], "Retry-After": "15"}}
lines = [f"    {{name!r}}: {{value!r}}" for name, value in headers.items() if name]
for line in ["Response status: 201", "Response headers:", *lines, "Response content:", "{{}}"]:
    print(f"DEBUG: cli.azure.cli.core.sdk.policies: {{line}}", file=sys.stderr)
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Return a folder for the `PATH` that has the stand-in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "az").write_text(AZ.format(python=sys.executable), encoding="utf-8")
    (folder / "az").chmod(0o755)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(azurite: Azurite) -> AsyncIterator[Api]:
    keys = {"read": {"viewer"}, "write": {"operator"}}
    async with running_api(azurite, keys) as app:
        yield app
