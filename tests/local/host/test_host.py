import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession
from azure.storage.queue.aio import QueueClient

from opswatch.core.errors import ConfigError
from opswatch.local.host import LocalHost
from opswatch.local.host.app import AppImportError
from opswatch.local.ports import PortError

pytestmark = pytest.mark.timeout(30)

QUEUE_APP = """
    import probe
    probe.loads += 1
    load = probe.loads

    @app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
    async def pump(msg: func.QueueMessage) -> None:
        body = msg.get_body().decode()
        probe.events.put_nowait((load, body, msg.id))
        if load == 1:
            await probe.gate.wait()
"""

SLOW_ROUTE = """
    @app.route()
    async def slow(req) -> str:
        probe.events.put_nowait("slow")
        if load == 1:
            await probe.gate.wait()
        return f"load {load}"
"""


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
def env(azurite: Any, queue: QueueClient) -> dict[str, str]:
    return {"AzureWebJobsStorage": azurite.connection_string, "QUEUE": queue.queue_name}


async def length(queue: QueueClient) -> int:
    return (await queue.get_queue_properties()).approximate_message_count or 0


async def refused(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def test_http_functions_are_served(make_app: Any, http: ClientSession) -> None:
    app = make_app("""
        import json
        @app.route(route="items/{id:int}", methods=["GET", "POST"])
        async def item(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            seen = [context.function_name, req.method, req.url, req.route_params["id"],
                    dict(req.params), req.headers["x-a"], req.get_body().decode()]
            headers = {"X-B": "b", "Set-Cookie": "c=1; Path=/"}
            return func.HttpResponse(
                json.dumps(seen), status_code=202, headers=headers, mimetype="application/json")

        @app.route(trigger_arg_name="context")
        def plain(context) -> str:
            return "text"
    """)
    async with LocalHost(app) as host:
        path = "/api/items/7?a=1&a=2+3&b=%2B&c="
        async with http.post(host.url + path, data="body", headers={"X-A": "x"}) as response:
            assert response.status == 202
            assert response.headers["X-B"] == "b"
            assert response.headers["Content-Type"] == "application/json"
            assert response.cookies["c"].value == "1"
            query = {"a": "1,2 3", "b": "+"}
            url = f"{host.url}/api/items/7?a=1&a=2+3&b=%2B&c="
            assert await response.json() == ["item", "POST", url, "7", query, "x", "body"]
        async with http.get(f"{host.url}/api/plain") as response:
            assert await response.text() == "text"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert await refused(host.url)


async def test_routes_are_tried_in_the_order_of_names(make_app: Any, http: ClientSession) -> None:
    """However specific they are: a function whose name comes later is not reached."""
    app = make_app("""
        @app.route(route="a/b", methods=["GET"])
        async def later(req) -> str:
            return "later"

        @app.route(route="{*path}", methods=["GET"])
        async def earlier(req) -> str:
            return "earlier"

        @app.route(route="{*path}", methods=["POST"])
        async def zero(req) -> str:
            return "zero"
    """)
    async with LocalHost(app) as host:
        for method, text in [("GET", "earlier"), ("POST", "zero")]:
            async with http.request(method, f"{host.url}/api/a/b") as response:
                assert await response.text() == text


async def test_function_with_keys_asks_for_one(make_app: Any, http: ClientSession) -> None:
    app = make_app("""
        @app.route(route="keyed")
        async def keyed(req) -> str:
            return "keyed"

        @app.route(route="open")
        async def unkeyed(req) -> str:
            return "open"
    """)
    async with LocalHost(app, keys={"keyed": {"one", "two"}}) as host:
        for path, key, status in [
            ("open", None, 200),
            ("keyed", None, 401),
            ("keyed", "three", 401),
            ("keyed", "one", 200),
            ("keyed", "two", 200),
            ("keyed?code=one", None, 401),
        ]:
            headers = {"x-functions-key": key} if key else {}
            async with http.get(f"{host.url}/api/{path}", headers=headers) as response:
                assert response.status == status
                if status == 401:
                    assert await response.read() == b""


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("app.localhost:7071", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:7071", 421),
    ],
)
async def test_other_names_of_the_host_are_refused(
    make_app: Any, http: ClientSession, name: str, status: int
) -> None:
    """A page of another site could have its name lead here."""
    app = make_app("""
        @app.route(route="x")
        async def x(req) -> str:
            return "x"
    """)
    async with (
        LocalHost(app) as host,
        http.get(f"{host.url}/api/x", headers={"Host": name}) as response,
    ):
        assert response.status == status


async def test_failed_request_gets_a_status(make_app: Any, http: ClientSession) -> None:
    app = make_app("""
        @app.route(route="fails", methods=["GET"])
        async def fails(req) -> None:
            raise ValueError("no")

        @app.route(route="nothing")
        async def nothing(req) -> None: ...
    """)
    async with LocalHost(app) as host:
        for method, path, status in [
            ("GET", "/api/fails", 500),
            ("POST", "/api/fails", 404),
            ("HEAD", "/api/fails", 404),
            ("GET", "/api/nothing", 500),
            ("GET", "/api/none", 404),
            ("GET", "/", 404),
        ]:
            async with http.request(method, host.url + path) as response:
                assert (response.status, await response.text()) == (status, "")


async def test_routes_are_tried_by_function_name(make_app: Any, http: ClientSession) -> None:
    app = make_app("""
        @app.route(route="items/{id}")
        async def Details(req) -> str:
            return "Details"

        @app.route(route="{*rest}")
        async def every(req) -> str:
            return "every"

        @app.route(route="items/first")
        async def list(req) -> str:
            return "list"

        @app.route(route="about")
        async def about(req) -> str:
            return "about"
    """)
    async with LocalHost(app) as host:
        found = {}
        for path in ("items/first", "about", "items", "items/1"):
            async with http.get(f"{host.url}/api/{path}") as response:
                found[path] = await response.text()
    assert found == {
        "items/first": "Details",  # although the route of `list` is more specific
        "about": "about",
        "items": "every",
        "items/1": "Details",
    }


async def test_routes_that_the_host_refuses_are_reported(make_app: Any) -> None:
    app = make_app("""
        @app.route(route="items/{id}", methods=["GET", "POST"])
        async def a(req) -> str: ...

        @app.route(route="/Items/{ID}/", methods=["POST"])
        async def b(req) -> str: ...

        @app.route(route="items/{id}", methods=["DELETE"])
        async def c(req) -> str: ...

        @app.route(route="Administrators")
        async def d(req) -> str: ...

        @app.route(route="items/{id}")
        async def e(req) -> str: ...
    """)
    with pytest.raises(ConfigError) as caught:
        async with LocalHost(app):
            pass
    assert caught.value.problems == [
        "function b: the route '/Items/{ID}/' is that of a",
        "function d: the route 'Administrators' begins with a reserved name",
        "function e: the route 'items/{id}' is that of a",
    ]


async def test_large_body_arrives_whole(make_app: Any, http: ClientSession) -> None:
    app = make_app("""
        @app.route()
        async def size(req: func.HttpRequest) -> str:
            return str(len(req.get_body()))
    """)
    async with (
        LocalHost(app) as host,
        http.post(f"{host.url}/api/size", data=io.BytesIO(b"x" * 5_000_000)) as response,
    ):
        assert await response.text() == "5000000"


async def test_route_prefix_can_be_empty(make_app: Any, http: ClientSession) -> None:
    code = """
        @app.route(route="x")
        async def x(req) -> str:
            return "here"
    """
    app = make_app(code, extensions={"http": {"routePrefix": ""}})
    async with LocalHost(app) as host, http.get(f"{host.url}/x") as response:
        assert await response.text() == "here"


async def test_timer_runs_on_startup(make_app: Any, probe: Any) -> None:
    app = make_app("""
        import probe
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
        def tick(timer: func.TimerRequest) -> None:
            probe.loop.call_soon_threadsafe(probe.events.put_nowait, timer.past_due)
    """)
    probe.loop = asyncio.get_running_loop()
    async with LocalHost(app):
        assert await probe.events.get() is False


async def test_message_runs_its_function_and_is_deleted(
    make_app: Any, probe: Any, env: dict[str, str], queue: QueueClient
) -> None:
    probe.gate.set()
    async with LocalHost(make_app(QUEUE_APP), env):
        await queue.send_message('{"id": "mine"}')
        assert await probe.events.get() == (1, '{"id": "mine"}', "mine")
    assert await length(queue) == 0


async def test_given_settings_override_environment_and_local_values(
    make_app: Any, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app("""
        import os, probe
        probe.seen = [os.environ[name] for name in ("GIVEN", "OUTER", "LOCAL")]
        import beside
    """)
    (app / "beside.py").write_text("")
    (app / "local.settings.json").write_text(
        '{"Values": {"GIVEN": "local", "OUTER": "local", "LOCAL": "local"}}'
    )
    monkeypatch.setenv("GIVEN", "outer")
    monkeypatch.setenv("OUTER", "outer")
    before = dict(os.environ)
    async with LocalHost(app, {"GIVEN": "given"}):
        assert probe.seen == ["given", "outer", "local"]
    assert dict(os.environ) == before
    del sys.modules["beside"]


async def test_function_timeout_restarts_the_worker(
    make_app: Any, probe: Any, env: dict[str, str], queue: QueueClient, http: ClientSession
) -> None:
    code = (QUEUE_APP + SLOW_ROUTE).replace(
        # The message times out well before the request.
        "await probe.gate",
        "await asyncio.sleep(0.1); probe.events.put_nowait('a while later'); await probe.gate",
        1,
    )
    app = make_app(code, functionTimeout="00:00:01")
    async with LocalHost(app, env) as host:
        await queue.send_message("first")
        assert (await probe.events.get())[:2] == (1, "first")
        assert await probe.events.get() == "a while later"
        async with http.get(f"{host.url}/api/slow") as cut_off:
            assert (cut_off.status, await cut_off.text()) == (500, "")
        assert await probe.events.get() == "slow"
        await queue.send_message("second")
        assert (await probe.events.get())[:2] == (2, "second")
        async with http.get(f"{host.url}/api/slow") as response:
            assert await response.text() == "load 2"
    assert await length(queue) == 1, "the cancelled message is leased, not settled"


async def test_shutdown_waits_for_messages_and_requests(
    make_app: Any, probe: Any, env: dict[str, str], queue: QueueClient, http: ClientSession
) -> None:
    queues = {"messageEncoding": "none", "batchSize": 1, "newBatchThreshold": 0}
    app = make_app(QUEUE_APP + SLOW_ROUTE, extensions={"queues": queues})
    host = await LocalHost(app, env).__aenter__()
    await queue.send_message("running")
    await queue.send_message("late")
    await probe.events.get()
    request = asyncio.create_task(http.get(f"{host.url}/api/slow"))
    assert await probe.events.get() == "slow"
    closing = asyncio.create_task(host.__aexit__(None, None, None))
    while host._server._runner.sites:
        await asyncio.sleep(0)
    assert await refused(host.url)
    assert not closing.done()
    assert not request.done()
    probe.gate.set()
    async with await request as response:
        assert await response.text() == "load 1"
    await closing
    assert [message.content async for message in queue.receive_messages()] == ["late"]
    assert probe.events.empty()


async def test_shutdown_has_a_time_limit(
    make_app: Any,
    probe: Any,
    env: dict[str, str],
    queue: QueueClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with LocalHost(make_app(QUEUE_APP), env, drain=0.01):
        await queue.send_message("hangs")
        await probe.events.get()
    assert "abandoned" in caplog.text
    assert await length(queue) == 1


async def test_run_until_ends_with_its_event(make_app: Any) -> None:
    stopped = asyncio.Event()
    async with LocalHost(make_app("")) as host:
        running = asyncio.create_task(host.run_until(stopped))
        stopped.set()
        await running


@pytest.mark.usefixtures("probe")
async def test_failed_reload_stops_the_host(make_app: Any, http: ClientSession) -> None:
    code = """
        import probe
        probe.loads += 1
        if probe.loads == 2:
            raise RuntimeError("broken since")

        @app.route()
        async def slow(req) -> None:
            await probe.gate.wait()
    """
    app = make_app(code, functionTimeout="00:00:01")

    host = await LocalHost(app).__aenter__()
    async with http.get(f"{host.url}/api/slow") as response:
        assert (response.status, await response.text()) == (500, "")
    for ending in (host.run_until(asyncio.Event()), host.__aexit__(None, None, None)):
        with pytest.raises(AppImportError, match="broken since"):
            await ending


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        ('route(trigger_arg_name="x", route="{")', "function f: the route"),
        ('queue_trigger(arg_name="x", queue_name="q", connection="Nowhere")', "Nowhere: missing"),
    ],
)
async def test_invalid_app_is_rejected_at_start(make_app: Any, trigger: str, named: str) -> None:
    app = make_app(f"@app.{trigger}\nasync def f(x): ...")
    with pytest.raises(ConfigError, match=named):
        await LocalHost(app).__aenter__()


async def test_port_in_use_is_rejected(make_app: Any) -> None:
    async with LocalHost(make_app("")) as host:
        port = int(host.url.rpartition(":")[2])
        with pytest.raises(PortError, match=str(port)):
            await LocalHost(make_app(""), port=port).__aenter__()


async def test_started_waits_for_startup_timers(make_app: Any, probe: Any) -> None:
    app_dir = make_app("""
        import probe
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
        async def prepare(timer: func.TimerRequest) -> None:
            await probe.gate.wait()
            probe.events.put_nowait("prepared")
    """)
    async with LocalHost(app_dir) as host:
        started = asyncio.create_task(host.started())
        await asyncio.sleep(0)
        assert not started.done()
        probe.gate.set()
        await started
        assert probe.events.get_nowait() == "prepared"
