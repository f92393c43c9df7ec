"""The examples for services that cannot run here: their definitions, run against the app."""

import asyncio
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
import yaml
from aiohttp import ClientSession
from azure.storage.queue import QueueClient

from opswatch.core.webhook import Secret
from opswatch.local.azurite import Azurite
from tests.examples.apps import (
    EXAMPLES,
    data_of,
    load_example,
    operations,
    signed_request,
)
from tests.examples.durable import Orchestration
from tests.examples.logic_app import Run
from tests.support.api import Api
from tests.support.harness import SECRET

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.asyncio(loop_scope="module"),
    # Durable Functions wants the types of results, which it does not get from activities' names.
    pytest.mark.filterwarnings("ignore:azure.functions df_loads was called:DeprecationWarning"),
]


def id_of(url: str) -> str:
    return url.partition("?")[0].rsplit("/", 1)[1]


# --- Durable Functions

# The answer of `call_http` has no type that could be given.
untyped = pytest.mark.filterwarnings(
    "ignore:azure.functions df_loads was called:DeprecationWarning"
)


@pytest.fixture
def settings(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_HOSTNAME", "app.example")
    monkeypatch.setenv("OPSWATCH_URL", api.url.removesuffix("/api"))
    monkeypatch.setenv("OPSWATCH_WRITE_KEY", "operator")
    monkeypatch.setenv("OPSWATCH_READ_KEY", "viewer")
    monkeypatch.setenv("OPSWATCH_AUDIENCE", "api://opswatch")
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET.text)


def watching(api: Api, url: str, next_event: Callable[[], Any]) -> tuple[Orchestration, list[str]]:
    """Return the orchestration of an operation, and the list of callback URLs that it posts.

    They are posted as the receiver's, because opswatch cannot call https://app.example.
    """
    callbacks: list[str] = []
    functions = load_example("durable-functions").functions

    def post(message: dict[str, Any]) -> Any:
        callbacks.append(message["callbackUrl"])
        return functions["post"]({**message, "callbackUrl": api.receiver.url})

    activities: dict[str, Callable[[Any], Any]] = {"post": post, "read": functions["read"]}
    return (
        Orchestration(functions["watch"], {"operation": url}, activities, next_event),
        callbacks,
    )


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("script", ["succeeded", "failed"])
async def test_orchestration_waits_for_the_callback(api: Api, script: str) -> None:
    url = api.start(script, seconds=0)

    async def called() -> str:
        event = await data_of(api, operationId=id_of(url))
        assert event["status"] == script.capitalize()
        return "ended"

    orchestration, callbacks = watching(api, url, called)
    row = await orchestration.run()
    assert (row["status"], row["operationId"]) == (script.capitalize(), id_of(url))
    assert callbacks == ["https://app.example/api/ended/instance-1"]


@pytest.mark.usefixtures("settings")
async def test_orchestration_reads_status_without_a_callback(api: Api) -> None:
    url = api.start("succeeded", seconds=1)
    events = iter(["ended", None, "too many"])  # an early event, and then the timer

    async def timer() -> str | None:
        event = next(events)
        if event is None:
            await data_of(api, operationId=id_of(url))
        return event

    orchestration, _ = watching(api, url, timer)
    assert (await orchestration.run())["status"] == "Succeeded"
    assert list(events) == ["too many"]


@pytest.mark.usefixtures("settings")
async def test_callback_raises_event_if_it_is_genuine() -> None:
    raised = []

    async def raise_event(instance: str, name: str) -> None:
        raised.append((instance, name))

    ended = load_example("durable-functions").functions["ended"].client_function  # type: ignore[attr-defined]
    client = SimpleNamespace(raise_event=raise_event)
    for secret, code in ((SECRET, 204), (Secret(b"f" * 32), 401)):
        answer = await ended(signed_request(b"{}", secret, instance="i"), client)
        assert answer.status_code == code
    assert raised == [("i", "ended")]


@pytest.mark.usefixtures("settings")
async def test_orchestration_follows_location_through_a_gateway(api: Api) -> None:
    handler = load_example("durable-functions").functions["follow"]
    gateway = {"POST": "operator", "GET": "viewer"}
    url = api.start("succeeded", seconds=0)
    orchestration = Orchestration(handler, {"operation": url}, {}, no_event, gateway=gateway)
    assert (await orchestration.run())["status"] == "Succeeded"
    codes = [code for *_, code in orchestration.requests]
    assert codes == [202] * (len(codes) - 1) + [200]
    assert len(codes) > 1


@pytest.mark.usefixtures("settings")
async def test_location_needs_a_gateway(api: Api) -> None:
    """Durable Functions sends no key when it polls, so the host refuses."""
    handler = load_example("durable-functions").functions["follow"]
    orchestration = Orchestration(
        handler,
        {"operation": api.start("succeeded", seconds=0)},
        {},
        no_event,
        gateway={"POST": "operator"},
    )
    with pytest.raises(Exception, match="opswatch answered 401"):
        await orchestration.run()


async def no_event() -> str | None:
    raise AssertionError


# --- Logic Apps


def deliveries_of(api: Api, operation_id: str) -> set[str]:
    return {post.delivery_id for post in api.receiver.posts if post.operation_id == operation_id}


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("succeeded", None),
        ("failed", ("SkuNotAvailable", "Balanced_B5 is not available in westus.")),
        ("canceled", ("Canceled", "It was canceled.")),
        ("failed-no-error", ("Failed", "")),
    ],
)
async def test_logic_app_sleeps_until_it_is_called(
    api: Api, script: str, error: tuple[str, str] | None
) -> None:
    url = api.start(script, seconds=0)

    async def until_called() -> None:
        """Wait for two deliveries: the first post is for the default receiver."""
        while len(deliveries_of(api, id_of(url))) < 2:
            await asyncio.sleep(0.05)

    definition = json.loads((EXAMPLES / "logic-app" / "workflow.json").read_text("utf-8"))
    given = {
        "arm": "https://management.azure.com",
        "opswatch": api.url.removesuffix("/api"),
        "writeKey": "operator",
        "readKey": "viewer",
    }
    assert given.keys() == definition["parameters"].keys()
    run = Run(
        definition,
        given,
        {"path": "/subscriptions/s", "body": {"location": "westus"}},
        f"{api.receiver.url}/logic-app",
        until_called,
        {"Start": {"headers": {"Azure-AsyncOperation": url}}},
    )
    start = run.evaluate(definition["actions"]["Start"]["inputs"])
    assert (start["uri"], start["body"]) == (
        "https://management.azure.com/subscriptions/s",
        {"location": "westus"},
    )
    assert await run.run() == (error and dict(zip(("code", "message"), error, strict=True)))
    assert [(method, code) for method, _, code in run.sent] == [
        ("POST", 202), ("POST", 202), ("GET", 200),
    ]  # fmt: skip


# --- Azure Pipelines


async def test_task_of_a_pipeline_posts_and_is_completed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = yaml.safe_load((EXAMPLES / "azure-pipelines" / "wait.yml").read_text("utf-8"))
    url = api.start("succeeded", seconds=0)
    variables = {
        "url": url,
        "opswatchKey": "operator",
        "forwarderUrl": api.receiver.url.rsplit("/", 1)[0],
        "system.TeamProjectId": "project",
        "system.HostType": "build",
        "system.PlanId": "plan",
        "system.JobId": "job",
        "system.TaskInstanceId": "task",
    }
    (task,) = (step["inputs"] for job in pipeline["jobs"] for step in job["steps"]
               if step.get("task") == "InvokeRESTAPI@1")  # fmt: skip
    filled = {name: re.sub(r"\$\((.*?)\)", lambda m: variables[m[1]], task[name]) for name in task}
    async with ClientSession(headers=json.loads(filled["headers"])) as http:
        address = api.url.removesuffix("/api") + filled["urlSuffix"]
        async with http.request(filled["method"], address, data=filled["body"]) as answer:
            assert answer.status == 202
    data = await data_of(api, operationId=id_of(url))

    sent: list[str] = []
    forwarder = load_example("forwarder")
    monkeypatch.setattr(
        forwarder.module, "forward", lambda url, body, _: sent.extend((url, body.decode()))
    )
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET.text)
    monkeypatch.setenv("AZURE_DEVOPS_URL", "https://dev.azure.com/org")
    monkeypatch.setenv("AZURE_DEVOPS_TOKEN", "token")
    event = {"type": "opswatch.operation.succeeded", "data": data}
    forwarder.functions["pipelines"](signed_request(json.dumps(event).encode(), SECRET))
    assert "/project/_apis/distributedtask/hubs/build/plans/plan/events" in sent[0]
    assert json.loads(sent[1]) == {
        "name": "TaskCompleted", "jobId": "job", "taskId": "task", "result": "succeeded",
    }  # fmt: skip


# --- Event Grid


async def test_event_becomes_a_post(api: Api, azurite: Azurite) -> None:
    url = api.start("succeeded", seconds=0)
    event = func.EventGridEvent(
        id="event-1",
        data={"operation": url, "kind": "eventGrid/created", "resourceId": None, "x": 1},
        topic="/topics/1",
        subject="s",
        event_type="Example.Started",
        event_time=None,
        data_version="1",
    )
    message: list[str] = []
    load_example("event-grid").functions["post"](event, SimpleNamespace(set=message.append))
    queue = QueueClient.from_connection_string(azurite.connection_string, "operations")
    await asyncio.to_thread(queue.send_message, message[0])
    data = await data_of(api, operationId=id_of(url))
    assert data["kind"] == "eventGrid/created"
    assert data["clientState"] == {"event": "event-1", "topic": "/topics/1"}
    (row,) = await operations(api, kind="eventGrid/created")
    assert row["status"] == "Succeeded"
