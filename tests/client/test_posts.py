"""What is handed over becomes a post: texts, responses, pollers, and what their requests say."""

import json
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.pipeline import PipelineResponse
from azure.core.polling import (
    AsyncLROPoller,
    AsyncNoPolling,
    LROPoller,
    NoPolling,
)
from azure.core.polling.async_base_polling import AsyncLROBasePolling
from azure.core.polling.base_polling import LROBasePolling
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from opswatch.client.posts import (
    NoStatusUrlError,
    Options,
    Request,
    ended_row,
    key_of_url,
    operation_of,
    status_url,
)
from tests.client.support import (
    ARM,
    KEY,
    LOCATION,
    RESOURCE,
    RESOURCE_URL,
    SCOPE,
    SIGNED,
    SUBSCRIPTION,
    Response,
    Sdk,
    started,
)

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g"
PUT = Request(method="PUT", url=RESOURCE_URL)


def never(_: str) -> Response:
    raise AssertionError("nothing is polled here")


class Polled(Sdk):
    """A client whose responses come as azure-core's own pollers want them."""

    def send_request(self, request: Any, **_: object) -> Any:
        return PipelineResponse(request, super().send_request(request), {})  # type: ignore[arg-type]


def async_poller(initial: Any, method: Any) -> AsyncLROPoller[Any]:
    return AsyncLROPoller(Sdk(never), initial, lambda response: response, method)


# --- the request


@pytest.mark.parametrize(
    ("method", "path", "resource", "kind"),
    [
        ("PUT", RESOURCE, RESOURCE, "redisEnterprise/create"),
        ("patch", RESOURCE, RESOURCE, "redisEnterprise/update"),
        ("DELETE", f"{RESOURCE}/", RESOURCE, "redisEnterprise/delete"),
        (
            "PUT",
            f"{RESOURCE}/databases/default",
            f"{RESOURCE}/databases/default",
            "redisEnterprise/databases/create",
        ),
        (
            "POST",
            f"{RESOURCE}/databases/default/flush",
            f"{RESOURCE}/databases/default",
            "redisEnterprise/databases/flush",
        ),
        ("PUT", f"{SCOPE}/redis/a%20b", f"{SCOPE}/redis/a b", "redis/create"),
        ("PUT", GROUP, GROUP, "resourceGroups/create"),
        ("DELETE", GROUP, GROUP, "resourceGroups/delete"),
        (
            "PUT",
            f"{GROUP}/providers/Microsoft.Resources/deployments/d",
            f"{GROUP}/providers/Microsoft.Resources/deployments/d",
            "deployments/create",
        ),
        (
            "PUT",
            f"{RESOURCE}/providers/Microsoft.Authorization/locks/l",
            f"{RESOURCE}/providers/Microsoft.Authorization/locks/l",
            "locks/create",
        ),
        ("POST", f"{SCOPE}/locations/westus/check", f"{SCOPE}/locations/westus", "locations/check"),
        ("POST", f"{SCOPE}/check", None, None),  # of the provider: no resource
        ("POST", RESOURCE, RESOURCE, None),  # no action
        ("GET", "/somewhere/else", None, None),
    ],
)
def test_request_names_resource_and_kind(
    method: str, path: str, resource: str | None, kind: str | None
) -> None:
    request = Request(method=method, url=f"{ARM}{path}?api-version=1")
    assert (request.resource_id, request.kind) == (resource, kind)


@pytest.mark.parametrize(
    ("options", "posted"),
    [
        ({}, {}),
        ({"callback_on": "Failed"}, {"callbackOn": ["Failed"]}),
        ({"callback_on": ("Failed", "Lost")}, {"callbackOn": ["Failed", "Lost"]}),
        ({"timeout": timedelta(seconds=29.5)}, {"timeout": "PT30S"}),
        ({"timeout": "PT1H"}, {"timeout": "PT1H"}),
        ({"client_state": 0, "again": True}, {"clientState": 0, "again": True}),
    ],
)
def test_options_become_properties(options: dict[str, Any], posted: dict[str, Any]) -> None:
    assert json.loads(Options(**options).body(SIGNED)) == {"operation": SIGNED} | posted


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"Azure-AsyncOperation": SIGNED, "Location": LOCATION}, SIGNED),
        ({"Operation-Location": SIGNED, "Location": LOCATION}, SIGNED),
        ({"LOCATION": LOCATION}, LOCATION),
        ({"Azure-AsyncOperation": "", "location": LOCATION}, LOCATION),
        ({"Retry-After": "5"}, None),
    ],
)
def test_status_url_is_taken_in_arms_order(headers: dict[str, str], url: str | None) -> None:
    assert status_url(headers) == url


def test_key_of_a_url_is_the_rows() -> None:
    assert key_of_url(SIGNED) == KEY
    with pytest.raises(ValueError, match="InvalidOperation"):
        key_of_url("https://management.azure.com/")


# --- what is handed over


def test_response_brings_url_and_request() -> None:
    initial = started(headers={"Azure-AsyncOperation": SIGNED})
    assert operation_of(initial) == (SIGNED, PUT)
    assert operation_of(initial.http_response) == (SIGNED, PUT)
    bare = SimpleNamespace(headers={"Location": LOCATION})  # of another library
    assert operation_of(bare) == (LOCATION, None)


def test_response_without_url_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"no right.*polling=True"):
        operation_of(Response())


@pytest.mark.parametrize("given", [None, 42, object(), {"operation": SIGNED}])
def test_anything_else_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="submit takes a status URL"):
        operation_of(given)


@pytest.mark.parametrize("method", [AsyncLROBasePolling, AsyncARMPolling])
async def test_running_async_poller_is_handed_over(method: Any) -> None:
    headers = {"Operation-Location": SIGNED, "Azure-AsyncOperation": SIGNED}
    poller = async_poller(started(headers=headers), method(30))
    assert ended_row(poller) is None
    assert operation_of(poller) == (SIGNED, PUT)


async def test_poller_by_location_is_handed_over() -> None:
    poller = async_poller(started("DELETE", headers={"Location": LOCATION}), AsyncARMPolling(30))
    assert operation_of(poller) == (LOCATION, Request(method="DELETE", url=RESOURCE_URL))


def test_running_sync_poller_is_handed_over() -> None:
    is_over = threading.Event()

    def answer(_: str) -> Response:
        is_over.wait(10)
        return Response(200, body={"status": "Failed"})

    initial = started("POST", f"{ARM}{RESOURCE}/flush", headers={"Operation-Location": SIGNED})
    initial.http_response.request.headers["x-ms-client-request-id"] = "1"  # it is sent again
    poller: Any = LROPoller(
        Polled(answer, is_async=False), initial, lambda response: response, LROBasePolling(0)
    )
    assert ended_row(poller) is None
    url, request = operation_of(poller)
    assert (url, request and request.kind) == (SIGNED, "redisEnterprise/flush")
    is_over.set()
    with pytest.raises(Exception, match="as the test says"):
        poller.result()
    ended = ended_row(poller)
    assert ended is not None
    assert (ended.id, ended.status) == (str(KEY), "Failed")


async def test_poller_that_reads_the_resource_is_refused() -> None:
    initial = started(status_code=201, body={"properties": {"provisioningState": "Creating"}})
    poller = async_poller(initial, AsyncARMPolling(30))
    assert ended_row(poller) is None
    with pytest.raises(NoStatusUrlError, match="no right"):
        operation_of(poller)


@pytest.mark.parametrize("make", [AsyncNoPolling, AsyncARMPolling])
async def test_poller_that_had_ended_at_start_has_ended(make: Any) -> None:
    poller = async_poller(started("DELETE", status_code=204), make())
    ended = ended_row(poller)
    assert ended is not None
    assert (ended.id, ended.status, ended.is_succeeded) == ("-/-", "Succeeded", True)


@pytest.mark.parametrize(
    ("kind", "make"), [(LROPoller, NoPolling), (AsyncLROPoller, AsyncNoPolling)]
)
def test_poller_without_polling_is_handed_over(kind: Any, make: Any) -> None:
    """`polling=False`: for azure-core it has ended, whatever ARM does."""
    initial = started(headers={"Azure-AsyncOperation": SIGNED})
    poller = kind(None, initial, lambda response: response, make())
    assert ended_row(poller) is None
    assert operation_of(poller) == (SIGNED, PUT)


def test_foreign_polling_method_says_what_to_do() -> None:
    poller = SimpleNamespace(polling_method=object, status=lambda: "InProgress", done=lambda: False)
    with pytest.raises(ValueError, match=r"polling=watcher\.polling\(\)"):
        operation_of(poller)
