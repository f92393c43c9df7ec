"""The client over the HTTP API: the app's router behind a pipeline, and answers of a front end."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from azure.core.exceptions import HttpResponseError

from opswatch.client import (
    NotAllowedError,
    OperationNotFoundError,
    RejectedError,
    UnreachableError,
    Watcher,
)
from opswatch.client.calls import ASYNC_TIMING
from opswatch.client.connection import Connection
from opswatch.client.environment import open_env
from opswatch.client.http import HttpSource, open_http
from opswatch.client.sync import Watcher as SyncWatcher
from opswatch.core.errors import ConfigError
from opswatch.local.azurite import free_ports
from tests.client.support import ID, KEY, SIGNED, Clock, Response
from tests.support.harness import HOOK, Harness, ended
from tests.web.client import BASE, Client

URL = "https://app.example.com"
CUT_OFF = f"{URL}/api"


class Routed:
    """A pipeline to the app's router over fakes; `sent` has the requests."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.sent: list[Any] = []

    def send_request(self, request: Any) -> Any:
        self.sent.append(request)

        async def respond() -> Response:
            answer = await self._client.send(
                request.method,
                request.url.replace(CUT_OFF, BASE),
                request.content,
                **{
                    name.replace("-", "_").lower(): value for name, value in request.headers.items()
                },
            )
            body = answer.json if answer.response.body else None
            return Response(answer.status, answer.headers, body)

        return respond()

    async def close(self) -> None:
        pass


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture
def pipeline(harness: Harness) -> Routed:
    return Routed(Client(harness))


@pytest.fixture
def watcher(pipeline: Routed) -> Watcher:
    source = HttpSource(CUT_OFF, pipeline, {"read": "viewer", "write": "operator"})
    return Watcher.over(Connection(source=source, timing=ASYNC_TIMING))


async def test_post_registers_and_sends_the_functions_keys(
    harness: Harness, pipeline: Routed, watcher: Watcher
) -> None:
    handle = await watcher.submit(SIGNED, callback_url=HOOK, client_state={"ticket": 42})
    assert handle.id == str(KEY)
    assert harness.watch.facts.callbacks == (HOOK,)
    row = await handle.row()
    assert (row.state, row.client_state, row.url) == (
        "watching",
        {"ticket": 42},
        SIGNED.partition("?")[0],
    )
    sent = [(each.method, each.headers["x-functions-key"]) for each in pipeline.sent]
    assert sent == [("POST", "operator"), ("GET", "viewer")]


async def test_id_alone_is_completed_by_the_app(watcher: Watcher) -> None:
    """The app's settings have the rest; only a URL has a key without asking."""
    assert (await watcher.submit(ID)).id == str(KEY)
    assert watcher.get(SIGNED).id == str(KEY)
    with pytest.raises(ValueError, match="InvalidOperation"):
        watcher.get(ID)


async def test_rejection_is_heard_at_once(watcher: Watcher) -> None:
    with pytest.raises(RejectedError, match="ForeignHost") as caught:
        await watcher.submit("https://attacker.example/subscriptions/s/operations/1")
    assert caught.value.reason == "ForeignHost"


async def test_end_is_read_with_its_deliveries(harness: Harness, watcher: Watcher) -> None:
    handle = await watcher.submit(SIGNED, callback_url=HOOK)
    harness.status = ended()
    await harness.settle()
    row = await handle.result(timeout=5)
    assert row.is_succeeded
    assert [each["state"] for each in row.deliveries] == ["delivered"]
    (delivery,) = await handle.redeliver(row.deliveries[0]["deliveryId"])
    assert delivery["state"] == "pending"
    assert await handle.redeliver() != []


async def test_unknown_operation_or_delivery_is_an_error(watcher: Watcher) -> None:
    with pytest.raises(OperationNotFoundError, match=str(KEY)):
        await watcher.get(SIGNED).row()
    handle = await watcher.submit(SIGNED)
    with pytest.raises(OperationNotFoundError, match="delivery"):
        await handle.redeliver("msg_1")


async def test_stop_says_how_it_has_ended(harness: Harness, watcher: Watcher) -> None:
    handle = await watcher.submit(SIGNED)
    assert (await handle.stop()).status == "Stopped"
    assert (await handle.stop()).status == "Stopped"
    again = await watcher.submit(SIGNED, again=True)
    harness.status = ended("Failed")
    await harness.settle()
    assert (await again.stop()).status == "Failed"


# --- a front end that answers for the app


class Answering:
    def __init__(self, *answers: Response) -> None:
        self._answers = iter(answers)

    async def send_request(self, _: Any) -> Response:
        return next(self._answers)


def source(*answers: Response) -> HttpSource:
    return HttpSource(CUT_OFF, Answering(*answers), {"read": None, "write": None})


@pytest.mark.parametrize("code", [401, 403])
async def test_refused_key_is_named(code: int) -> None:
    with pytest.raises(NotAllowedError, match="a key of its function 'read'"):
        await source(Response(code)).read(KEY)
    with pytest.raises(NotAllowedError, match="a key of its function 'write'"):
        await source(Response(code)).post(b"{}", ASYNC_TIMING.now())


@pytest.mark.parametrize("answer", [Response(404), Response(200, body=[]), Response(200)])
async def test_other_site_is_named(answer: Response) -> None:
    with pytest.raises(HttpResponseError, match=r"app\.example\.com/api does not answer as"):
        await source(answer).read(KEY)


async def test_cold_start_is_ridden_out(pipeline: Routed, watcher: Watcher) -> None:
    await watcher.submit(SIGNED)
    clock = Clock()
    real = pipeline.send_request
    failures = iter([Response(502), Response(503)])

    async def respond(answer: Response) -> Response:
        return answer

    def flaky(request: Any) -> Any:
        failure = next(failures, None)
        return respond(failure) if failure else real(request)

    pipeline.send_request = flaky  # type: ignore[method-assign]
    watcher = Watcher.over(
        Connection(
            source=HttpSource(CUT_OFF, pipeline, {"read": None, "write": None}),
            timing=clock.timing(),
        )
    )
    assert (await watcher.get(str(KEY)).row()).state == "watching"
    assert clock.slept == [1.0, 2.0]


# --- real pipelines


async def test_both_faces_reach_this_machine_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def respond(request: web.Request) -> web.Response:
        assert (request.path, request.headers["x-functions-key"]) == (
            f"/api/operations/{KEY}",
            "viewer",
        )
        names = {"subscriptionId": KEY.partition, "key": KEY.row, "state": "finished"}
        return web.json_response({**names, "status": "Succeeded"})

    app = web.Application()
    app.router.add_get("/{path:.*}", respond)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def sync() -> Any:
        with SyncWatcher.over_http(url, "viewer") as watcher:
            return watcher.get(str(KEY)).result(timeout=5).status

    for name in ("http_proxy", "https_proxy", "all_proxy"):  # one that answers nothing
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with Watcher.over_http(url, "viewer") as watcher:
        assert (await watcher.get(str(KEY)).result(timeout=5)).is_succeeded
    assert await asyncio.to_thread(sync) == "Succeeded"
    await runner.cleanup()


async def test_app_that_is_down_is_an_error_after_a_while() -> None:
    clock = Clock()
    opened = open_http(f"http://127.0.0.1:{free_ports(1)[0]}", None, None, is_async=True)
    watcher = Watcher.over(Connection(source=opened, timing=clock.timing()))
    async with watcher:
        with pytest.raises(UnreachableError, match="ServiceRequestError"):
            await watcher.get(str(KEY)).row()
    assert clock.seconds > 20


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (URL, f"{URL}/api"),
        (f"{URL}/", f"{URL}/api"),
        (f"{URL}/api", f"{URL}/api"),
        (f"{URL}/ops/api/", f"{URL}/ops/api"),
        ("app.example.com", f"{URL}/api"),
        ("http://127.0.0.1:7071", "http://127.0.0.1:7071/api"),
    ],
)
def test_address_of_the_app_is_completed(url: str, base: str) -> None:
    assert open_http(url, None, None, is_async=False)._url == base


@pytest.mark.parametrize(
    "url",
    ["http://app.example.com", f"{URL}?code=secret", "https://u@x", f"{URL}/#x", "ftp://x"],
)
def test_address_that_would_leak_a_key_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the app's address"):
        open_http(url, "key", None, is_async=False)


def test_one_key_serves_both_functions() -> None:
    keys = [open_http(URL, "key", write, is_async=False)._keys for write in (None, "other")]
    assert keys == [{"read": "key", "write": "key"}, {"read": "key", "write": "other"}]


def test_environment_may_name_the_api() -> None:
    opened = open_env({"OPSWATCH_URL": URL, "OPSWATCH_KEY": "key"}, is_async=False)
    assert isinstance(opened, HttpSource)
    assert (opened._url, opened._keys) == (f"{URL}/api", {"read": "key", "write": "key"})
    opened = open_env({"OPSWATCH_URL": URL, "OPSWATCH_KEY": "read=r,write=w"}, is_async=True)
    assert isinstance(opened, HttpSource)
    assert opened._keys == {"read": "r", "write": "w"}
    with pytest.raises(ConfigError, match="OPSWATCH_URL: the app's address must be an https URL"):
        open_env({"OPSWATCH_URL": "http://app.example.com"}, is_async=False)
