"""Both faces over an app in memory: handing over, waiting, changes, stopping."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.polling import AsyncLROPoller, LROPoller

from opswatch.client import (
    OperationError,
    OperationFailedError,
    OperationNotFoundError,
    OperationStoppedError,
    RejectedError,
)
from opswatch.client.calls import run_sync
from opswatch.core.errors import OpswatchError
from opswatch.testing import FakeApp, FakeSyncWatcher, FakeWatcher
from tests.client.support import ID, KEY, LOCATION, SIGNED, Response, Sdk, started

HEADERS = {"Azure-AsyncOperation": SIGNED}
HOOK = "https://hooks.example.com/1"
ERROR = {"code": "Outer", "message": "no", "details": [{"code": "Quota", "message": "full"}]}


def ok(_: str) -> Response:
    return Response(200, body={"name": "c"})


def name(response: Any) -> Any:
    return response.http_response.json()["name"]


# --- handing over


async def test_submit_returns_the_handle_of_what_was_posted() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED, callback_url=HOOK, resource_id="/r", kind="k")
    assert (str(handle), repr(handle)) == (str(KEY), f"<Handle {KEY}>")
    assert watcher.app.posts == [
        {"operation": SIGNED, "callbackUrl": HOOK, "resourceId": "/r", "kind": "k"}
    ]
    assert not handle.has_ended


async def test_response_brings_resource_and_kind() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(started(headers=HEADERS).http_response)
    row = await handle.row()
    assert row.kind == "redisEnterprise/create"
    assert row.resource_id is not None
    assert row.resource_id.endswith("/redisEnterprise/c")


async def test_ended_poller_posts_nothing() -> None:
    watcher = FakeWatcher()
    poller = SimpleNamespace(
        polling_method=lambda: SimpleNamespace(finished=lambda: True),
        status=lambda: "Failed",
        done=lambda: True,
    )
    handle = await watcher.submit(poller, callback_url=HOOK)
    assert handle.has_ended
    assert (await handle.row()).status == "Failed"
    assert [row.status async for row in handle.changes()] == ["Failed"]
    with pytest.raises(OperationFailedError, match="result"):
        await handle.result()
    assert watcher.app.posts == []


@pytest.mark.parametrize("operation", ["", "   ", "what is this?", None, 3])
async def test_bad_input_says_what_to_do(operation: Any) -> None:
    with pytest.raises(ValueError, match=r"InvalidOperation|submit takes"):
        await FakeWatcher().submit(operation)


def test_get_reads_nothing_and_takes_every_form() -> None:
    app = FakeApp({"OPSWATCH_SUBSCRIPTION_ID": KEY.partition, "OPSWATCH_LOCATION": "West US"})
    app.is_down = True
    for form in (
        ID,
        SIGNED,
        str(KEY),
        f" {KEY} ",
        str(KEY).upper().replace("MICROSOFT", "microsoft"),
    ):
        assert FakeSyncWatcher(app).get(form).id.lower() == str(KEY)
    with pytest.raises(RejectedError):
        FakeSyncWatcher(app).get("no/key")


# --- waiting


async def test_result_waits_for_the_end() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    waiting = asyncio.ensure_future(handle.result(timeout=10))
    await asyncio.sleep(0)
    watcher.app.end(SIGNED, result={"provisioned": True})
    row = await waiting
    assert (row.is_succeeded, row.result_json) == (True, {"provisioned": True})


async def test_failure_is_raised_whole() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    watcher.app.end(SIGNED, "Failed", error=ERROR)
    with pytest.raises(OperationFailedError) as caught:
        await handle.result()
    error = caught.value
    assert isinstance(error, HttpResponseError)
    assert isinstance(error, OpswatchError)
    assert (error.code, error.message, error.details) == ("Outer", "no", tuple(ERROR["details"]))
    assert error.error is not None
    assert [each.code for each in error.error.details] == ["Quota"]
    assert str(error) == "(Outer) no (innermost: Quota: full)"


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_error_survives_another_process(again: Callable[[OperationError], OperationError]) -> None:
    app = FakeApp()
    watcher = FakeSyncWatcher(app)
    handle = watcher.submit(SIGNED)
    app.end(SIGNED, "Failed", error=ERROR)
    with pytest.raises(OperationFailedError) as caught:
        handle.result()
    copied = again(caught.value)
    assert (type(copied), copied.code, str(copied), copied.row) == (
        OperationFailedError,
        "Outer",
        str(caught.value),
        caught.value.row,
    )


async def test_row_shows_no_url_and_no_result_by_accident() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    row = watcher.app.end(SIGNED, result={"adminPassword": "p"})
    assert repr(row) == f"<OperationRow {handle.id} finished Succeeded>"
    assert row.url == SIGNED


async def test_time_limit_leaves_the_watch() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    watcher.app.progress(SIGNED)
    with pytest.raises(TimeoutError, match="InProgress"):
        await handle.result(timeout=0.01)
    watcher.app.end(SIGNED)
    assert (await handle.result()).is_succeeded


async def test_changes_are_yielded_once_each() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    seen: list[tuple[str | None, float | None]] = []
    steps: list[Callable[[], object]] = [
        lambda: watcher.app.progress(SIGNED, percent_complete=10.0),
        lambda: watcher.app.progress(SIGNED, percent_complete=10.0, polls=7),
        lambda: watcher.app.end(SIGNED, "Failed", error=ERROR),
    ]
    async with asyncio.timeout(10):
        async for row in handle.changes():
            seen.append((row.status, row.percent_complete))
            for step in steps[:1] if len(seen) == 1 else steps[1:]:
                step()
    assert seen == [(None, None), ("InProgress", 10.0), ("Failed", 10.0)]


async def test_outage_ends_no_wait() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    watcher.app.is_down = True
    waiting = asyncio.ensure_future(handle.result(timeout=10))
    await asyncio.sleep(0.02)
    watcher.app.end(SIGNED)
    watcher.app.is_down = False
    assert (await waiting).is_succeeded


async def test_stop_ends_a_wait() -> None:
    watcher = FakeWatcher()
    handle = await watcher.submit(SIGNED)
    assert (await handle.stop()).status == "Stopped"
    with pytest.raises(OperationStoppedError, match="may go on"):
        await handle.result()
    assert await handle.redeliver() == []
    again = await watcher.submit(SIGNED, again=True)
    assert ((await again.row()).round, (await again.row()).is_finished) == (2, False)


async def test_unknown_operation_is_an_error() -> None:
    watcher = FakeWatcher()
    with pytest.raises(OperationNotFoundError):
        await watcher.get(SIGNED).row()
    with pytest.raises(OperationNotFoundError):
        await watcher.get(SIGNED).stop()
    with pytest.raises(OperationNotFoundError):
        watcher.app.end(SIGNED)


# --- the sync face


def test_sync_face_does_the_same() -> None:
    watcher = FakeSyncWatcher()
    with watcher:
        handle = watcher.submit(SIGNED, client_state={"ticket": 42})
        assert (handle.id, str(handle), repr(handle)) == (str(KEY), str(KEY), f"<Handle {KEY}>")
        assert (handle.has_ended, handle.row().client_state) == (False, {"ticket": 42})
        changes = handle.changes(timeout=10)
        assert next(changes).status is None
        ending = threading.Timer(0.01, watcher.app.end, (SIGNED,))
        ending.start()
        assert [row.status for row in changes] == ["Succeeded"]
        ending.join()
        assert handle.result().is_succeeded
        assert handle.stop().status == "Succeeded"
        assert handle.redeliver() == []
        assert watcher.get(handle.id).row() == handle.row()


def test_async_client_in_the_sync_face_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="async client"):
        run_sync(asyncio.sleep(0))


# --- pollers of begin_ methods


async def test_poller_has_a_handle_and_is_posted_at_the_latest_at_the_end() -> None:
    async with FakeWatcher() as watcher:
        polling = watcher.polling(callback_url=HOOK)
        poller = AsyncLROPoller(Sdk(ok), started(headers=HEADERS), name, polling)
        assert watcher.handle(poller).id == poller.continuation_token() == str(KEY)
        assert watcher.app.posts == []
    assert [posted["callbackUrl"] for posted in watcher.app.posts] == [HOOK]
    watcher.app.end(SIGNED)
    assert await poller.result() == "c"


async def test_submitting_own_poller_posts_only_what_is_new() -> None:
    watcher = FakeWatcher()
    poller = AsyncLROPoller(Sdk(ok), started(headers=HEADERS), name, watcher.polling())
    assert (await watcher.submit(poller)).id == str(KEY)
    assert len(watcher.app.posts) == 1
    assert (await watcher.submit(poller, callback_url=HOOK)).id == str(KEY)
    assert watcher.app.posts[1] == {"operation": SIGNED, "callbackUrl": HOOK}


async def test_handle_of_a_foreign_poller_says_what_to_do() -> None:
    poller = AsyncLROPoller(
        Sdk(ok), started(headers={"Location": LOCATION}), name, FakeWatcher().polling()
    )
    assert FakeWatcher().handle(poller).id == poller.continuation_token()
    with pytest.raises(TypeError, match="submit"):
        FakeSyncWatcher().handle(poller)


def test_closing_waits_for_the_post_of_a_thread() -> None:
    may_post = threading.Event()

    class SlowApp(FakeApp):
        async def post(self, body: bytes, now: Any) -> Any:
            may_post.wait(10)
            return await super().post(body, now)

    with FakeSyncWatcher(SlowApp()) as watcher:
        sdk = Sdk(ok, is_async=False)
        poller = LROPoller(sdk, started(headers=HEADERS), name, watcher.polling())
        watcher.polling()  # given to no method: nothing to wait for
        threading.Timer(0.05, may_post.set).start()
    assert len(watcher.app.posts) == 1
    watcher.app.end(SIGNED)
    poller.wait(10)


def test_sync_poller_is_posted_by_its_thread() -> None:
    watcher = FakeSyncWatcher()
    with watcher:
        polling = watcher.polling(callback_url=HOOK)
        sdk = Sdk(ok, is_async=False)
        poller = LROPoller(sdk, started(headers=HEADERS), name, polling)
        assert watcher.submit(poller).id == watcher.handle(poller).id == str(KEY)
    assert len(watcher.app.posts) == 1
    watcher.app.end(SIGNED)
    assert poller.result(10) == "c"
