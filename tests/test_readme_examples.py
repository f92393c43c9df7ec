"""The examples in the README run as printed, except for names such as ACCOUNT and the secret."""

import ast
import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError
from azure.core.utils import CaseInsensitiveDict
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient
from standardwebhooks import WebhookVerificationError

from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from opswatch.core import webhook
from opswatch.core.arm_errors import ArmError
from opswatch.core.watches import FinalStatus
from opswatch.core.webhook import Secret
from opswatch.local.azurite import Azurite, running_azurite
from tests.support.api import running_api
from tests.support.builders import HOOK, ID, arm_error, end, result
from tests.support.cases import cases

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SECRET = Secret(b"k" * 32)
STATUS_URL = "https://management.azure.com/subscriptions/s/operationsStatus/1?api-version=1"
RESULT_URL = "https://management.azure.com/subscriptions/s/operationResults/1?api-version=1"
MESSAGE_ID = "msg_1"


def example(language: str, containing: str) -> str:
    """Return the one code block in `language` that contains a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if containing in block]
    return str(found)


def run(code: str, names: dict[str, Any]) -> Any:
    """Run `code` with the given global names; return the value of its last line, if it has one."""
    tree = ast.parse(code)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.Assign([ast.Name("last_value", ast.Store())], last.value)
    exec(compile(ast.fix_missing_locations(tree), "README.md", "exec"), names)  # noqa: S102 - ours
    return names.get("last_value")


@pytest.fixture(scope="module")
def storage() -> Iterator[Azurite]:
    """Return a storage emulator without the queues and tables of other tests."""
    with running_azurite() as azurite:
        yield azurite


def at_azurite(code: str, storage: Azurite) -> str:
    """Return an example with the emulator's address and key in the place of an account's."""
    for service in ("queue", "table"):
        code = code.replace(
            f"https://ACCOUNT.{service}.core.windows.net",
            f"http://127.0.0.1:{storage.ports[service]}/{DEVELOPMENT_ACCOUNT}",
        )
    return code.replace("DefaultAzureCredential()", "account_key")


NAMED_KEY = AzureNamedKeyCredential(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY)
# The headers of each answer of ARM to one request (it is repeated after a 429), and what is posted.
ANSWERS = {
    "Azure-AsyncOperation": ([{"Azure-AsyncOperation": STATUS_URL}], STATUS_URL),
    "lower case": ([{"azure-asyncoperation": STATUS_URL}], STATUS_URL),
    "both": ([{"Location": RESULT_URL, "Azure-AsyncOperation": STATUS_URL}], STATUS_URL),
    "Location": ([{"location": RESULT_URL}], RESULT_URL),
    "none": ([{"Content-Type": "application/json"}], None),
    "429 first": ([{"Retry-After": "1"}, {"Azure-AsyncOperation": STATUS_URL}], STATUS_URL),
}


@cases("answers, posted", ANSWERS)
def test_post_example_sends_status_url(
    storage: Azurite, answers: list[dict[str, str]], posted: str | None
) -> None:
    queue = QueueClient.from_connection_string(storage.connection_string, "operations")
    with suppress(ResourceExistsError):
        queue.create_queue()

    def begin_create(
        *_: str, polling: bool, raw_response_hook: Callable[[SimpleNamespace], None]
    ) -> None:
        assert not polling
        for headers in answers:
            response = SimpleNamespace(headers=CaseInsensitiveDict(headers))
            raw_response_hook(SimpleNamespace(http_response=response))

    client = SimpleNamespace(redis_enterprise=SimpleNamespace(begin_create=begin_create))
    code = at_azurite(example("python", "QueueClient("), storage)
    run(code, {"client": client, "parameters": {}, "account_key": NAMED_KEY})
    messages = list(queue.receive_messages())
    assert [message.content for message in messages] == ([posted] if posted else [])
    for message in messages:
        queue.delete_message(message)


@cases("answers, posted", ANSWERS)
def test_bash_example_posts_status_url(
    tmp_path: Path, answers: list[dict[str, str]], posted: str | None
) -> None:
    """A stand-in for `az` prints what `--debug` does, and records what is posted."""
    names = {"location": "Location", "azure-asyncoperation": "Azure-AsyncOperation"}
    debug = [
        "cli.azure.cli.core.sdk.policies: Request body:",
        "cli.azure.cli.core.sdk.policies: {'location': 'westus'}",
        "cli.azure.cli.core.sdk.policies: Response headers:",
        *(
            f"cli.azure.cli.core.sdk.policies:     '{names.get(name, name)}': '{value}'"
            for headers in answers
            for name, value in headers.items()
        ),
    ]
    (tmp_path / "debug").write_text("\n".join(debug), encoding="utf-8")
    az = tmp_path / "az"
    az.write_text(
        '#!/bin/sh\n[ "$1" = storage ] && printf "%s\\n" "$@" >> put || cat debug >&2\n',
        encoding="utf-8",
    )
    az.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    code = example("bash", "az storage message put")
    subprocess.run(
        ["bash", "-e", "-u", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        check=True,
        timeout=60,
    )
    put = tmp_path / "put"
    arguments = put.read_text(encoding="utf-8").splitlines() if put.exists() else []
    assert arguments[-2:] == (["--content", posted] if posted else [])


def test_query_example_reads_result(storage: Azurite) -> None:
    code = example("python", "TableClient(")
    partition, row = re.findall(r'get_entity\("(.*)", "(.*)"\)', code)[0]
    service = TableServiceClient.from_connection_string(storage.connection_string)
    stored = {"PartitionKey": partition, "RowKey": row, "status": "Succeeded"}
    service.create_table("results").create_entity(stored)
    assert run(at_azurite(code, storage), {"account_key": NAMED_KEY}) == stored


def test_filters_select_operations(storage: Azurite) -> None:
    service = TableServiceClient.from_connection_string(storage.connection_string)
    table = service.create_table("filtered")
    for row, status, seconds in [
        ("microsoft.cache~westus~operationsstatus~1", "Failed", 10.0),
        ("microsoft.cache~eastus~operationsstatus~2", "Succeeded", 3600.5),
        ("microsoft.web~westus~operationsstatus~3", "Succeeded", 3600.0),
    ]:
        entity = {"PartitionKey": "…", "RowKey": row, "status": status, "durationSeconds": seconds}
        table.create_entity(entity)
    filters = re.findall(r"`(PartitionKey eq .*?)`", README)
    assert [[found["RowKey"][-1] for found in table.query_entities(text)] for text in filters] == [
        ["1"],
        ["1"],
        ["2"],
    ]


def ended_as(status: FinalStatus, **known: Any) -> bytes:
    """Return the event of an operation that ended so."""
    ended = result(end=end(status, **known), last_miss="503 ServerBusy")
    return webhook.event(ended, MESSAGE_ID)


@cases(
    "body, printed",
    {
        "succeeded": (ended_as(FinalStatus.SUCCEEDED, result="{}"), ""),
        "failed": (ended_as(FinalStatus.FAILED, error=arm_error("Conflict")), "Failed Conflict"),
        "failed, no error": (ended_as(FinalStatus.FAILED), "Failed None"),
        "failed, no code": (
            ended_as(FinalStatus.FAILED, error=ArmError(json='{"message":"?"}')),
            "Failed None",
        ),
        "canceled": (ended_as(FinalStatus.CANCELED), "Canceled None"),
        "timed out": (
            ended_as(FinalStatus.TIMED_OUT, last_status="InProgress"),
            "TimedOut the last status was InProgress; the last miss was 503 ServerBusy",
        ),
        "lost": (ended_as(FinalStatus.LOST, lost_reason="404"), "Lost 404"),
        "test": (webhook.sample_event(MESSAGE_ID, datetime.now(UTC)), ""),
    },
)
def test_receive_example_verifies_event(
    capsys: pytest.CaptureFixture[str], body: bytes, printed: str
) -> None:
    names: dict[str, Any] = {}
    run(example("python", "def receive").replace("whsec_…", SECRET.text), names)
    sent = webhook.request(HOOK, MESSAGE_ID, body, (SECRET,), datetime.now(UTC))
    assert names["receive"](body, sent.headers) == 204
    assert capsys.readouterr().out == (f"{ID} {printed}\n" if printed else "")
    with pytest.raises(WebhookVerificationError):
        names["receive"](body + b" ", sent.headers)


async def test_http_example_posts_follows_and_lists(storage: Azurite, tmp_path: Path) -> None:
    keys = {"READ_KEY": "viewer", "WRITE_KEY": "operator"}
    async with running_api(storage, {"read": {"viewer"}, "write": {"operator"}}) as api:
        (tmp_path / "url").write_text(api.start("failed"), encoding="utf-8")
        code = example("bash", "x-functions-key").replace("sleep 5", "sleep 0.2")
        address = "https://APP.azurewebsites.net/api"
        assert address in code
        process = await asyncio.create_subprocess_exec(
            *("bash", "-e", "-u", "-o", "pipefail", "-c", code.replace(address, api.url)),
            cwd=tmp_path,
            env={**os.environ, **keys, "no_proxy": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    assert process.returncode == 0
    decoder, text, answers = json.JSONDecoder(), printed.decode(), []
    while text := text.strip():
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:]
    posted, followed, failed, abandoned = answers
    assert (posted["state"], posted["clientState"]) == ("watching", {"ticket": 42})
    assert followed["status"] == "Failed"
    assert [row["operationId"] for row in failed["value"]] == [posted["operationId"]]
    assert abandoned == {"count": 0}
