"""opswatch as azure-core's polling method: what is posted, read in the end, and raised."""

import asyncio
import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure.core.polling import AsyncLROPoller, LROPoller

from opswatch.client.calls import SYNC_TIMING
from opswatch.client.connection import Connection
from opswatch.client.errors import (
    NotAllowedError,
    OperationCanceledError,
    OperationFailedError,
    OperationLostError,
    OperationTimedOutError,
    RejectedError,
)
from opswatch.client.polling import AsyncDurablePolling, FinalStateVia, SyncDurablePolling
from opswatch.client.posts import NoStatusUrlError, Options
from opswatch.core.errors import OpswatchError
from tests.client.support import (
    ARM,
    KEY,
    LOCATION,
    RESOURCE,
    RESOURCE_URL,
    SIGNED,
    Clock,
    Response,
    ScriptedSource,
    Sdk,
    finished,
    row,
    started,
)

HEADERS = {"Azure-AsyncOperation": SIGNED, "Location": LOCATION}
HOOK = "https://hooks.example.com/1"
BODY = {"name": "c"}


def answer_with_url(url: str) -> Response:
    return Response(200, body={"readAt": url})


def read_at(response: Any) -> Any:
    """Deserialize as packages of today do, from the response."""
    return response.http_response.json().get("readAt", "the first answer")


class Case:
    """One operation, polled by opswatch."""

    def __init__(
        self,
        *reads: Any,
        via: FinalStateVia | None = None,
        answer: Any = answer_with_url,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.source = ScriptedSource(*(reads or (finished(),)))
        self.sdk = Sdk(answer)
        connection = Connection(source=self.source, timing=self.clock.timing())
        self.method = AsyncDurablePolling(connection, Options(**options), via)

    def begin(self, initial: Any, deserialize: Any = read_at) -> AsyncLROPoller[Any]:
        return AsyncLROPoller(self.sdk, initial, deserialize, self.method)

    def go_on(self, token: str = str(KEY)) -> AsyncLROPoller[Any]:
        return AsyncLROPoller.from_continuation_token(
            self.method, token, client=self.sdk, deserialization_callback=read_at
        )

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.source.bodies]


# --- what is posted


async def test_operation_is_posted_once_with_its_resource_and_kind() -> None:
    case = Case(row(status="InProgress"), finished(), callback_url=HOOK, client_state={"a": 1})
    poller = case.begin(started(headers=HEADERS))
    assert (poller.status(), poller.done()) == ("InProgress", False)
    await poller.result()
    await poller.result()
    assert (poller.status(), poller.done()) == ("Succeeded", True)
    assert case.posted == [
        {
            "operation": SIGNED,
            "callbackUrl": HOOK,
            "kind": "redisEnterprise/create",
            "resourceId": RESOURCE,
            "clientState": {"a": 1},
        }
    ]


async def test_dropped_poller_is_posted_all_the_same() -> None:
    case = Case()
    case.begin(started(headers=HEADERS))
    await case.method.wait_posted()
    assert [posted["operation"] for posted in case.posted] == [SIGNED]
    assert case.source.read_count == 0


async def test_cancelled_wait_does_not_cancel_the_post() -> None:
    is_begun, may_end = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedSource):
        async def post(self, body: bytes, now: Any) -> Any:
            is_begun.set()
            await may_end.wait()
            return await super().post(body, now)

    case, source = Case(), Slow()
    case.method.connection = Connection(source=source, timing=case.clock.timing())
    waiting = asyncio.ensure_future(case.begin(started(headers=HEADERS)).result())
    await is_begun.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    may_end.set()
    await case.method.wait_posted()
    assert len(source.bodies) == 1


async def test_given_kind_wins() -> None:
    case = Case(kind="nightly")
    await case.begin(started(headers=HEADERS)).result()
    assert case.posted[0]["kind"] == "nightly"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"callback_url": "ftp://x"}, "InvalidCallback"),
        ({"callback_on": ["failed"]}, "InvalidCallback"),
        ({"timeout": "PT1S"}, "InvalidTimeout"),
        ({"client_state": "x" * 5000}, "TooLarge"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_begun(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RejectedError, match=reason):
        Case(**options)


def test_wrong_final_state_is_refused() -> None:
    with pytest.raises(ValueError, match="original-uri"):
        Case(via="resource")  # type: ignore[arg-type]


def test_polling_object_without_an_operation_has_no_key() -> None:
    with pytest.raises(OpswatchError, match="no operation was begun"):
        Case().method.get_continuation_token()


async def test_polling_object_serves_one_operation() -> None:
    case = Case()
    await case.begin(started(headers=HEADERS)).result()
    with pytest.raises(ValueError, match="one operation"):
        case.begin(started(headers=HEADERS))


async def test_post_that_is_refused_surfaces_in_the_result() -> None:
    class Refusing(ScriptedSource):
        async def post(self, *_: object) -> Any:
            raise NotAllowedError("it needs the role Storage Queue Data Message Sender")

    case = Case()
    case.method.connection = Connection(source=Refusing(), timing=case.clock.timing())
    poller = case.begin(started(headers=HEADERS))
    with pytest.raises(HttpResponseError, match="Message Sender"):
        await poller.result()


async def test_post_rides_out_an_outage() -> None:
    class Down(ScriptedSource):
        failures = 20

        async def post(self, body: bytes, now: Any) -> Any:
            self.failures -= 1
            if self.failures:
                raise ServiceRequestError("no route to host")
            return await super().post(body, now)

    case = Case()
    case.method.connection = Connection(source=Down(finished()), timing=case.clock.timing())
    assert await case.begin(started(headers=HEADERS)).result() == RESOURCE_URL
    assert case.clock.seconds > 60


# --- what is read in the end


@pytest.mark.parametrize(
    ("method", "via", "headers", "url"),
    [
        ("PUT", None, HEADERS, RESOURCE_URL),
        ("PATCH", None, HEADERS, RESOURCE_URL),
        ("PUT", "azure-async-operation", HEADERS, RESOURCE_URL),
        ("PUT", "location", HEADERS, LOCATION),
        ("PUT", None, {"Location": LOCATION}, RESOURCE_URL),
        ("POST", None, HEADERS, LOCATION),
        ("POST", "azure-async-operation", HEADERS, SIGNED),
        ("POST", "operation-location", {**HEADERS, "Operation-Location": SIGNED}, SIGNED),
        ("POST", "location", HEADERS, LOCATION),
        ("POST", "original-uri", HEADERS, RESOURCE_URL),
        ("POST", None, {"Azure-AsyncOperation": SIGNED}, SIGNED),
        ("POST", "location", {"Azure-AsyncOperation": SIGNED}, SIGNED),
    ],
)
async def test_result_is_read_where_the_sdk_reads_it(
    method: str, via: FinalStateVia | None, headers: dict[str, str], url: str
) -> None:
    case = Case(via=via)
    poller = case.begin(started(method, headers=headers, body={}))
    assert await poller.result() == url
    assert case.sdk.requested == [url]


async def test_delete_reads_nothing() -> None:
    case = Case()
    assert await case.begin(started("DELETE", headers=HEADERS)).result() is None
    assert case.sdk.requested == []


async def test_older_packages_find_the_decoded_value() -> None:
    """They deserialize the pipeline's response, by what `ContentDecodePolicy` leaves in it."""
    case = Case(answer=lambda _: Response(200, body=BODY))
    poller = case.begin(
        started(headers=HEADERS), lambda response: response.context["deserialized_data"]
    )
    assert await poller.result() == BODY


async def test_empty_result_is_none() -> None:
    case = Case(answer=lambda _: Response(204))
    assert await case.begin(started(headers=HEADERS)).result() is None


async def test_result_that_cannot_be_read_is_an_error_and_can_be_tried_again() -> None:
    answers = iter([Response(403), Response(200, body={"readAt": "now"})])
    case = Case(answer=lambda _: next(answers))
    poller = case.begin(started(headers=HEADERS))
    with pytest.raises(HttpResponseError) as caught:
        await poller.result()
    assert caught.value.status_code == 403
    assert await poller.result() == "now"


# --- ends that are no success


@pytest.mark.parametrize(
    ("end", "kind", "code"),
    [
        (
            finished(
                "Failed",
                errorCode="Outer",
                errorMessage="no",
                errorCodeInner="Quota",
                errorJson={"code": "Outer", "details": [{"code": "Quota"}]},
            ),
            OperationFailedError,
            "Outer",
        ),
        (finished("Failed"), OperationFailedError, "Failed"),
        (finished("Canceled"), OperationCanceledError, "Canceled"),
        (finished("TimedOut"), OperationTimedOutError, "OperationTimedOut"),
        (finished("Lost", lostReason="403 for 15 min"), OperationLostError, "OperationLost"),
    ],
)
async def test_other_ends_raise_what_users_of_the_sdk_catch(end: Any, kind: Any, code: str) -> None:
    case = Case(end)
    poller = case.begin(started(headers=HEADERS))
    with pytest.raises(HttpResponseError) as caught:
        await poller.result()
    error: Any = caught.value
    assert type(error) is kind
    assert (error.code, error.error.code, error.continuation_token) == (code, code, str(KEY))
    assert error.row is end
    assert poller.status() == end.status
    assert case.sdk.requested == []


# --- an operation that has ended, or that only its resource shows


@pytest.mark.parametrize(
    ("method", "code", "body", "result"),
    [
        ("PUT", 200, BODY, "the first answer"),
        ("PUT", 201, {"properties": {"provisioningState": "Succeeded"}}, "the first answer"),
        ("DELETE", 204, None, None),
        ("POST", 202, None, None),
    ],
)
async def test_operation_without_status_url_has_ended(
    method: str, code: int, body: Any, result: Any
) -> None:
    case = Case()
    poller = case.begin(started(method, status_code=code, body=body))
    assert await poller.result() == result
    assert (poller.status(), case.posted, case.sdk.requested) == ("Succeeded", [], [])
    with pytest.raises(OpswatchError, match="nothing is watched"):
        poller.continuation_token()


async def test_first_answer_that_failed_is_raised() -> None:
    case = Case()
    poller = case.begin(
        started(status_code=200, body={"properties": {"provisioningState": "Failed"}})
    )
    with pytest.raises(OperationFailedError, match="first answer"):
        await poller.result()


@pytest.mark.parametrize(
    ("code", "state"), [(201, "Creating"), (201, None), (202, None), (202, "Succeeded")]
)
async def test_operation_that_only_its_resource_shows_is_refused(code: int, state: Any) -> None:
    body = {"properties": {"provisioningState": state}}
    with pytest.raises(NoStatusUrlError, match="no right"):
        Case().begin(started(status_code=code, body=body))


# --- another process


@pytest.mark.parametrize(
    ("columns", "via", "url"),
    [
        ({"kind": "redisEnterprise/create"}, None, f"{ARM}{RESOURCE}?api-version=2024-10-01"),
        ({"kind": "RedisEnterprise/Update"}, None, f"{ARM}{RESOURCE}?api-version=2024-10-01"),
        ({"kind": "redisEnterprise/flush"}, None, SIGNED),
        ({"kind": "nightly"}, "original-uri", f"{ARM}{RESOURCE}?api-version=2024-10-01"),
        (
            {"kind": "redisEnterprise/flush", "url": f"{ARM}/s/o/1"},
            None,
            f"{ARM}/s/o/1?api-version=2024-10-01",
        ),
    ],
)
async def test_other_process_reads_the_result_by_the_row(
    columns: dict[str, Any], via: FinalStateVia | None, url: str
) -> None:
    known = {"resourceId": RESOURCE, "url": SIGNED, "apiVersion": "2024-10-01", **columns}
    case = Case(row(status="InProgress"), finished(**known), via=via)
    poller = case.go_on()
    assert poller.continuation_token() == str(KEY)
    assert await poller.result() == url
    assert (case.sdk.requested, case.posted) == ([url], [])


async def test_other_process_sees_a_deletion_end() -> None:
    case = Case(finished(resourceId=RESOURCE, kind="redisEnterprise/delete", url=SIGNED))
    assert await case.go_on().result() is None
    assert case.sdk.requested == []


async def test_row_that_does_not_name_the_result_says_what_to_do() -> None:
    with pytest.raises(OpswatchError, match="pass final_state_via"):
        await Case(finished(resourceId=RESOURCE, kind="nightly", url=SIGNED)).go_on().result()


async def test_other_process_may_add_a_callback() -> None:
    known = {"resourceId": RESOURCE, "kind": "redisEnterprise/create", "url": SIGNED}
    case = Case(finished(**known), callback_url=HOOK)
    await case.go_on().result()
    assert case.posted == [{"operation": SIGNED, "callbackUrl": HOOK}]


async def test_token_of_the_sdk_is_refused() -> None:
    with pytest.raises(ValueError, match="polling=True"):
        Case().go_on("eyJ2ZXJzaW9uIjoxfQ==")


# --- the sync poller


def test_sync_poller_waits_in_its_thread() -> None:
    source = ScriptedSource(finished())
    method = SyncDurablePolling(Connection(source=source, timing=SYNC_TIMING), Options(), None)
    sdk = Sdk(answer_with_url, is_async=False)
    poller = LROPoller(sdk, started(headers=HEADERS), read_at, method)
    assert poller.result(10) == RESOURCE_URL
    assert (poller.status(), poller.done(), len(source.bodies)) == ("Succeeded", True, 1)


def test_sync_poller_raises_the_end_with_its_token() -> None:
    source = ScriptedSource(finished("Failed", errorCode="Quota", errorMessage="no"))
    method = SyncDurablePolling(Connection(source=source, timing=SYNC_TIMING), Options(), None)
    poller = LROPoller(
        Sdk(answer_with_url, is_async=False), started(headers=HEADERS), read_at, method
    )
    with pytest.raises(OperationFailedError, match=r"\(Quota\) no") as caught:
        poller.result(10)
    assert caught.value.continuation_token == str(KEY)
