"""The shell examples, run against the app and the simulated ARM with a stand-in for `az`."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from opswatch.local.azurite import Azurite
from opswatch.local.simulator import SCRIPTS
from tests.examples.apps import EXAMPLES, data_of, operations
from tests.support.api import Api

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs an example with the settings that its head names."""

    api: Api
    commands: Path
    storage: str

    async def run(self, script: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            EXAMPLES / script,
            *arguments,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("OPSWATCH_")},
                "PATH": f"{self.commands}:{os.environ['PATH']}",
                "no_proxy": "127.0.0.1",
                "ARM": self.api.arm.endpoint,
                "STORAGE": self.storage,
                "SCENARIO": '{"script": "succeeded", "duration": 0}',
                "OPSWATCH_INTERVAL": "0.2",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def over_http(self, key: str) -> dict[str, str]:
        return {"OPSWATCH_URL": self.api.url.removesuffix("/api"), "OPSWATCH_KEY": key}


@pytest.fixture
def shell(api: Api, commands: Path, azurite: Azurite) -> Shell:
    return Shell(api, commands, azurite.connection_string)


@pytest.mark.parametrize(
    ("arguments", "header"),
    [
        (["redisenterprise", "create", "--cluster-name", "c", "--no-wait"], "Azure-AsyncOperation"),
        (["redisenterprise", "create", "--cluster-name", "c", "--no-wait"], "azure-asyncoperation"),
        (["rest", "--method", "delete", "--url", "https://x"], "Location"),
    ],
)
async def test_start_prints_status_url(shell: Shell, arguments: list[str], header: str) -> None:
    code, out, err = await shell.run("bash/start.sh", *arguments, HEADER=header)
    assert (code, err) == (0, "")
    assert out.startswith(f"{shell.api.arm.endpoint}/subscriptions/")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"AZ_FAILS": "1"}, "ERROR: (AuthorizationFailed) No."),
        ({"HEADER": ""}, "ARM answered without a status URL"),
    ],
)
async def test_start_reports_an_error(shell: Shell, variables: dict[str, str], error: str) -> None:
    code, out, err = await shell.run("bash/start.sh", "vm", "start", "--no-wait", **variables)
    assert (code, out) == (1, "")
    assert err.startswith(error)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("script", "code", "printed"),
    [
        ("succeeded", 0, "Succeeded"),
        ("failed", 1, "Failed: SkuNotAvailable: Balanced_B5 is not available in westus."),
        ("canceled", 3, "Canceled: Canceled: It was canceled."),
        ("failed-no-error", 1, "Failed"),
    ],
)
async def test_post_over_http_and_wait(shell: Shell, script: str, code: int, printed: str) -> None:
    url = shell.api.start(script, seconds=0)
    posted, status, err = await shell.run(
        "bash/post.sh", url, '"clientState": {"ticket": 42}', **shell.over_http("operator")
    )
    assert (posted, err) == (0, "")
    ended = await shell.run("bash/wait.sh", status.strip(), **shell.over_http("viewer"))
    assert ended == (code, f"{printed}\n", "")


async def test_post_reports_a_refusal(shell: Shell) -> None:
    code, out, err = await shell.run(
        "bash/post.sh", "https://attacker.example/operations/1", **shell.over_http("operator")
    )
    assert (code, out) == (22, "")
    assert "ForeignHost" in err.splitlines()
    code, out, err = await shell.run(
        "bash/post.sh", 'x", "again": true', **shell.over_http("operator")
    )
    assert (code, out) == (2, "")


async def test_wait_ends_if_nothing_can_be_read(shell: Shell) -> None:
    url = f"{shell.api.url}/operations/s/unknown/status"
    code, out, err = await shell.run("bash/wait.sh", url, **shell.over_http("nobody"))
    assert (code, out) == (6, "")
    assert "401" in err


async def test_deployment_is_posted_to_the_queue_and_called_back(shell: Shell) -> None:
    api = shell.api
    ended = await shell.run(
        *("deployments/deploy.sh", "group", api.receiver.url),
        SCENARIO='{"script": "deployment-failed", "duration": 0}',
        OPSWATCH_ACCOUNT="account",
    )
    assert ended == (0, "", "")
    data = await data_of(api, kind="deployments/main")
    assert data["clientState"]["deployment"].startswith("main-")
    assert (data["status"], data["error"]["code"]) == ("Failed", "DeploymentFailed")
    (row,) = await operations(api, kind="deployments/main")
    assert (row["errorCodeInner"], row["status"]) == ("SkuNotAvailable", "Failed")


# It writes what the providers azapi and azurerm write to the debug log.
TERRAFORM = """#!{python}
import json, os, sys
assert sys.argv[1:] == ["apply", "-auto-approve"] and os.environ["TF_LOG_PROVIDER"] == "DEBUG"
headers = {{"Azure-Asyncoperation": os.environ["FIRST"], "Retry-After": "15"}}
traffic = {{"request": {{"url": "https://x"}}, "response": {{"headers": headers, "body": "{{}}"}}}}
by_go = json.dumps(traffic, separators=(",", ":")).replace("&", r"\\u0026")
second = f"Azure-Asyncoperation: {{os.environ['SECOND']}}\\r\\nRetry-After: 15\\r\\n"
with open(os.environ["TF_LOG_PATH"], "a") as log:
    log.write(f"[DEBUG] provider.azapi: [DEBUG] Live traffic: {{by_go}}\\n")
    log.write(f"[DEBUG] provider.azurerm: HTTP/2.0 201\\r\\n{{second}}")
    log.write(second)
print("Apply complete!")
sys.exit(int(os.environ["CODE"]))
"""


@pytest.mark.parametrize("code", [0, 1])
async def test_operations_of_terraform_are_posted_once(shell: Shell, code: int) -> None:
    (shell.commands / "terraform").write_text(
        TERRAFORM.format(python=sys.executable), encoding="utf-8"
    )
    (shell.commands / "terraform").chmod(0o755)
    signed = shell.api.arm.start(SCRIPTS["signed"].with_duration(timedelta())).url
    other = shell.api.start("succeeded", seconds=0)
    kind, sent = f"terraform/{code}", shell.commands / "sent"
    ended = await shell.run(
        *("terraform/apply.sh", "-auto-approve"),
        FIRST=signed,
        SECOND=other,
        CODE=str(code),
        SENT=str(sent),
        OPSWATCH_ACCOUNT="account",
        OPSWATCH_MEMBERS=f'"kind": "{kind}"',
    )
    assert ended == (code, "Apply complete!\n", "")
    messages = [json.loads(line) for line in sent.read_text("utf-8").splitlines()]
    assert messages == [{"operation": url, "kind": kind} for url in (signed, other)]
    for url in (signed, other):
        operation_id = url.partition("?")[0].rsplit("/", 1)[1]
        assert (await data_of(shell.api, operationId=operation_id))["kind"] == kind
