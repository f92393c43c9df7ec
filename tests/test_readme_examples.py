"""The examples in the README run as printed, except for names such as ACCOUNT and the secret."""

import ast
import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient
from standardwebhooks import WebhookVerificationError

from opswatch.core.webhook import Secret
from opswatch.local.azurite import Azurite, running_azurite
from tests.support.api import running_api

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SECRET = Secret(b"k" * 32)
STATUS_URL = "https://management.azure.com/subscriptions/s/operationsStatus/1?api-version=1"


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


def test_post_example_sends_status_url(storage: Azurite) -> None:
    queue = QueueClient.from_connection_string(storage.connection_string, "operations")
    queue.create_queue()

    def begin_create(
        *_: str, polling: bool, raw_response_hook: Callable[[SimpleNamespace], None]
    ) -> None:
        assert not polling
        headers = {"Azure-AsyncOperation": STATUS_URL}
        raw_response_hook(SimpleNamespace(http_response=SimpleNamespace(headers=headers)))

    code = re.sub(
        r"QueueClient\(\n.*?\n\)",
        "QueueClient.from_connection_string(connection_string, 'operations')",
        example("python", "QueueClient("),
        count=1,
        flags=re.DOTALL,
    )
    client = SimpleNamespace(redis_enterprise=SimpleNamespace(begin_create=begin_create))
    names = {"client": client, "parameters": {}, "connection_string": storage.connection_string}
    run(code, names)
    assert [message.content for message in queue.receive_messages()] == [STATUS_URL]


def test_query_example_reads_result(storage: Azurite) -> None:
    code = example("python", "TableClient(")
    partition, row = re.findall(r'get_entity\("(.*)", "(.*)"\)', code)[0]
    service = TableServiceClient.from_connection_string(storage.connection_string)
    result = {"PartitionKey": partition, "RowKey": row, "status": "Succeeded"}
    service.create_table("results").create_entity(result)
    code = re.sub(
        r"TableClient\(.*\)",
        "TableClient.from_connection_string(connection_string, 'results')",
        code,
        count=1,
    )
    assert run(code, {"connection_string": storage.connection_string}) == result


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


def test_receive_example_verifies_event(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    run(example("python", "def receive").replace("whsec_…", SECRET.text), names)
    data = {"operationId": "6432a8f9", "error": {"code": "Conflict"}}
    body = json.dumps({"type": "opswatch.operation.failed", "data": data}).encode()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": SECRET.sign("msg_1", now, body),
    }
    assert names["receive"](body, headers) == 204
    assert capsys.readouterr().out == "6432a8f9 Conflict\n"
    with pytest.raises(WebhookVerificationError):
        names["receive"](body + b" ", headers)


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


@pytest.mark.parametrize(
    ("language", "containing", "command"),
    [
        ("js", "standardwebhooks", ["node", "--check"]),
        ("bash", "az storage message put", ["bash", "-n"]),
    ],
)
def test_other_example_has_valid_syntax(
    language: str, containing: str, command: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "example.mjs"
    path.write_text(example(language, containing), encoding="utf-8")
    subprocess.run([*command, path], check=True, timeout=60)
