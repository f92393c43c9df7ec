"""The snippets of docs/client.md run as printed, in their order: over an app in memory."""

import ast
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.mgmt.redisenterprise.aio import RedisEnterpriseManagementClient
from azure.mgmt.redisenterprise.models import Cluster, Sku

from opswatch.client import Watcher
from opswatch.client import sync as sync_client
from opswatch.local.simulator import Simulator
from opswatch.testing import FakeApp, FakeSyncWatcher, FakeWatcher
from opswatch.testing.events import SECRET
from tests.client.begin import client_options
from tests.client.support import LOCATION, SIGNED, SUBSCRIPTION

ROOT = Path(__file__).parents[2]
PAGE, README = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("docs/client.md", "README.md")
)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SNIPPETS = BLOCK.findall(PAGE)
OPENINGS = ("watcher = Watcher.from_env()", "TableClient(tables", "Watcher.over_http(")
ENV = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "READ_KEY": "r", "WRITE_KEY": "w"}


class ForthcomingApp(FakeApp):
    """An app whose operations end when they are looked at for the second time."""

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self.looks: dict[Any, int] = {}
        self.fails = False

    async def read(self, key: Any) -> Any:
        row = await super().read(key)
        self.looks[key] = self.looks.get(key, 0) + 1
        if row is not None and not row.is_finished and self.looks[key] > 1:
            error = {"code": "Outer", "message": "no"}
            self.end(row.id, "Failed", error=error) if self.fails else self.end(row.id)
        return row


async def run(snippet: str, names: dict[str, Any]) -> None:
    code = compile(
        snippet, "docs/client.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    returned = eval(code, names)  # noqa: S307 - ours
    if inspect.isawaitable(returned):
        await returned


def snippet(containing: str) -> str:
    (found,) = [each for each in SNIPPETS if containing in each]
    return str(found)


@pytest.fixture
async def arm() -> AsyncIterator[Simulator]:
    async with Simulator(seed=1) as simulator:
        yield simulator


@pytest.fixture
async def names(arm: Simulator) -> AsyncIterator[dict[str, Any]]:
    """What the page's reader has: a client of the SDK, and a watcher."""
    app = ForthcomingApp({"OPSWATCH_ARM_ENDPOINT": arm.endpoint})
    asked = {
        "subscription": SUBSCRIPTION,
        "arm": arm.endpoint,
        "token": arm.identity.issue("https://management.azure.com").text,
    }
    async with (
        RedisEnterpriseManagementClient(**client_options(asked)) as client,
        FakeWatcher(app) as watcher,
    ):
        yield {
            "client": client,
            "cluster": Cluster(location="westus", sku=Sku(name="Balanced_B5")),
            "watcher": watcher,
            "status_url": arm.start().url,
        }


@pytest.mark.parametrize("opening", OPENINGS)
async def test_watcher_is_opened(opening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    await run(snippet(opening), names)
    assert isinstance(names["watcher"], Watcher)
    await names["watcher"].close()
    if "credential" in names:
        await names["credential"].close()


async def test_operation_is_begun_and_gone_on_with(names: dict[str, Any]) -> None:
    await run(snippet("token = poller"), names)
    assert isinstance(names.pop("cache"), Cluster)
    await run(snippet("continuation_token=token"), names)
    assert names["cache"].name == "cache"
    posts = names["watcher"].app.posts
    assert [(post["kind"], post["clientState"]) for post in posts] == [
        ("redisEnterprise/create", {"ticket": 42})
    ]


async def test_readme_begins_an_operation(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = [each for each in BLOCK.findall(README) if "opswatch.client" in each]
    monkeypatch.setattr(Watcher, "from_env", lambda: names["watcher"])
    await run(code, {"client": names["client"], "parameters": names["cluster"]})
    (post,) = names["watcher"].app.posts
    assert post["callbackUrl"] == "https://example.com/hook"


async def test_failure_is_caught(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names["watcher"].app.fails = True
    with pytest.raises(Exception, match="Outer"):
        await run(snippet("token = poller"), names)
    await run(snippet("except OperationFailedError"), names)
    assert capsys.readouterr().out == "Outer no () None\n"


async def test_running_operations_are_handed_over(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    url = names["status_url"]
    host = url.split("/subscriptions")[0]
    location = LOCATION.replace("https://management.azure.com", host)
    names["response"] = SimpleNamespace(headers={"Location": location})
    names["running_poller"] = await names["client"].redis_enterprise.begin_create(
        "group", "cache", names["cluster"]
    )
    await run(snippet("running_poller"), names)
    posts = names["watcher"].app.posts
    assert [post["operation"] for post in posts[:2]] == [url, location]
    assert posts[2]["kind"] == "redisEnterprise/create"
    assert capsys.readouterr().out.startswith(SUBSCRIPTION)


async def test_handle_waits_looks_and_stops(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    names["token"] = (await names["watcher"].submit(names["status_url"])).id
    await run(snippet("async for change"), names)
    assert capsys.readouterr().out == "None None None\nNone None\nSucceeded None\nNone None\n"
    await run(snippet("handle.stop()"), names)
    assert (names["row"].status, names["deliveries"]) == ("Succeeded", [])


async def test_sync_face_does_the_same(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = names["watcher"].app
    monkeypatch.setattr(sync_client.Watcher, "from_env", lambda: FakeSyncWatcher(app))
    await run(snippet("opswatch.client.sync import"), names)
    assert names["row"].is_succeeded
    assert capsys.readouterr().out == "None\nSucceeded\n"


async def test_callback_is_verified_and_code_is_tested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"secrets": SECRET, "status_url": SIGNED}
    await run(snippet("def receive"), names)
    await run(snippet("FakeWatcher()"), names)
    assert capsys.readouterr().out.endswith("Conflict None\n")
    assert names["receive"](b"{}", {}) == 401


def test_every_snippet_is_run() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    named = {*OPENINGS, *re.findall(r'snippet\("(.+?)"\)', source)}
    assert [code for code in SNIPPETS if not any(name in code for name in named)] == []
    assert len(SNIPPETS) == len(named)
