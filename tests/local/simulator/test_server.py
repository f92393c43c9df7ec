import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientPayloadError
from yarl import URL

from opswatch.local.simulator import FixedReply, HandOver, Limit, Scenario, Simulator, Slow
from opswatch.local.simulator.scenario import (
    ASYNC_OPERATIONS,
    OPERATION_RESULTS,
    RESOURCE_GROUP_STATUSES,
    SUBSCRIPTION_RESULTS,
)
from tests.local.simulator.harness import Harness, ManualClock

TEN = timedelta(seconds=10)
VERSION = "?api-version=2024-10-01"
LOCATED = "providers/Microsoft.Cache/locations/west us"
GROUPED = "resourceGroups/rg/providers/Microsoft.Cache"


# --- status URLs


async def test_operation_runs_and_ends(arm: Harness) -> None:
    started = arm.start(Scenario(duration=TEN))
    status, body, headers = await arm.get(started.url)
    assert (status, body["status"], body["id"]) == (200, "InProgress", started.path)
    assert headers["x-ms-ratelimit-remaining-subscription-reads"] == "11998"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-ms-request-id"])
    assert "x-ms-correlation-request-id" in headers
    arm.clock.advance(10)
    assert (await arm.get(started.url))[1]["status"] == "Succeeded"


async def test_response_has_date_and_correlation_id(arm: Harness) -> None:
    sent = {"x-ms-correlation-request-id": "mine"}
    async with arm.client.get(arm.start().url, headers=sent) as response:
        assert response.headers["Date"] == "Mon, 23 Nov 2026 03:00:00 GMT"
        assert response.headers["x-ms-correlation-request-id"] == "mine"


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (ASYNC_OPERATIONS, f"/subscriptions/S/{LOCATED}/asyncOperations/1"),
        (OPERATION_RESULTS, f"/subscriptions/S/{LOCATED}/operationResults/1"),
        (SUBSCRIPTION_RESULTS, "/subscriptions/S/operationresults/1"),
        (RESOURCE_GROUP_STATUSES, f"/subscriptions/S/{GROUPED}/operationStatuses/1"),
    ],
)
async def test_status_url_follows_its_template(arm: Harness, template: str, path: str) -> None:
    place = {"subscription": "S", "location": "west us", "group": "rg"}
    started = arm.start(Scenario(template=template), operation_id="1", place=place)
    assert started.path == path
    assert started.url == f"{arm.endpoint}{path.replace(' ', '%20')}{VERSION}"
    assert (await arm.get(started.url))[0] == 200


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda path: path.replace("%20", "")])
async def test_paths_ignore_case_and_spaces(arm: Harness, change: Any) -> None:
    started = arm.start(place={"location": "West US"})
    path = started.url.removeprefix(arm.endpoint).removesuffix(VERSION)
    assert (await arm.get(arm.endpoint + change(path) + VERSION))[0] == 200


@pytest.mark.parametrize("query", ["", "?", "?api-version=", "?version=2024-10-01"])
async def test_api_version_is_required(arm: Harness, query: str) -> None:
    url = arm.start().url
    status, body, _ = await arm.get(url.removesuffix(VERSION) + query)
    assert (status, body["error"]["code"]) == (400, "MissingApiVersionParameter")
    assert (await arm.get(url.replace("api-version", "API-Version")))[0] == 200


async def test_unknown_operation_is_not_found(arm: Harness) -> None:
    known = arm.start()
    url = known.url.replace(known.id, "11111111-1111-1111-1111-111111111111")
    status, body, _ = await arm.get(url)
    assert (status, body["error"]["code"]) == (404, "NotFound")


async def test_status_is_read_with_get(arm: Harness) -> None:
    async with arm.client.delete(arm.start().url) as response:
        assert response.status == 405


async def test_signed_url_is_compared_byte_for_byte(arm: Harness) -> None:
    url = arm.start("signed").url
    base, _, query = url.partition("?")
    assert len(url) > 3000
    assert {"api-version", "t", "c", "s", "h"} == set(URL(url).query)
    assert (await arm.get(url))[0] == 200
    for changed in (
        f"{base}{VERSION}",
        f"{base}?{query}&x=1",
        f"{base}?{'&'.join(reversed(query.split('&')))}",
        url.replace("%2b", "%2B"),
        url.replace("%2F", "/"),
        url.replace("%2b", "+"),
        url.replace("~", "%7E"),
        f"{base}?{arm.start('signed').url.partition('?')[2]}",
    ):
        status, body, _ = await arm.get(changed)
        assert (status, body["error"]["code"]) == (403, "InvalidSignature")


# --- faults


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("not-found-first", [404, 404, 200]),
        ("forbidden-burst", [403, 403, 403, 200]),
        ("unauthorized-burst", [401, 401, 200]),
        ("throttled", [429, 429, 429, 200]),
        ("server-error", [200, 500, 500, 500, 200]),
        ("unavailable", [503, 503, 200]),
        ("redirected", [302, 302, 200]),
        ("redirected-307", [307, 307, 200]),
        ("location", [202, 202]),
        ("redis-flush", [202, 202]),
    ],
)
async def test_script_returns_its_statuses_in_order(
    arm: Harness, script: str, statuses: list[int]
) -> None:
    url = arm.start(script).url
    assert [(await arm.get(url))[0] for _ in statuses] == statuses


async def test_status_expires(arm: Harness) -> None:
    url = arm.start("expired").url
    seen = []
    for _ in range(4):
        seen.append((await arm.get(url))[0])
        arm.clock.advance(2.5)
    assert seen == [200, 200, 404, 404]


@pytest.mark.parametrize(
    ("script", "body"),
    [
        ("not-json", b"This is not JSON."),
        ("empty", b""),
        ("truncated-json", b'{"id": "x", "status": "InProg'),
        ("json-list", b'[{"status": "Succeeded"}]'),
        ("bom", b'\xef\xbb\xbf{"status": "InProgress"}'),
        ("not-utf8", b'{"status": "\xff"}'),
        ("html", b"<!DOCTYPE html><html><body>Our services aren't available.</body></html>"),
    ],
)
async def test_malformed_body_is_sent_unchanged(arm: Harness, script: str, body: bytes) -> None:
    async with arm.client.get(arm.start(script).url) as response:
        assert response.status == 200
        assert (response.content_type == "text/html") is (script == "html")
        assert await response.read() == body


async def test_cut_off_response_breaks_in_the_middle(arm: Harness) -> None:
    started = arm.start("cut-off")
    async with arm.client.get(started.url) as response:
        assert response.status == 200
        with pytest.raises(ClientPayloadError):
            await response.read()
    assert arm.operation(started.id).polls == 1


async def test_slow_response_is_delayed(arm: Harness) -> None:
    started, before = arm.start(Scenario(faults=(Slow(by=TEN),))), arm.clock()
    assert (await arm.get(started.url))[0] == 200
    assert arm.clock() - before == TEN


@pytest.mark.parametrize("header", ["Azure-AsyncOperation", "Location"])
@pytest.mark.parametrize("signed", [False, True])
async def test_handed_over_url_replaces_the_old(arm: Harness, header: str, signed: bool) -> None:
    fault = HandOver(header=header, first_poll=2, last_poll=2)
    started = arm.start(Scenario(duration=TEN, faults=(fault,), signed=signed))
    assert header not in (await arm.get(started.url))[2]
    new = (await arm.get(started.url))[2][header]
    assert new.startswith(arm.endpoint)
    assert (await arm.get(started.url))[0] == 404
    arm.clock.advance(10)
    assert (await arm.get(new))[1]["status"] == "Succeeded"
    assert arm.operation(started.id).polls == 3


async def test_throttled_subscription_gets_retry_after() -> None:
    async with Harness(Limit(capacity=2, refill=1)) as arm:
        url = arm.start().url
        seen = [await arm.get(url) for _ in range(3)]
        arm.clock.advance(2)
        assert (await arm.get(url))[0] == 200
    remaining = [each[2]["x-ms-ratelimit-remaining-subscription-reads"] for each in seen]
    assert [each[0] for each in seen] == [200, 200, 429]
    assert remaining == ["1", "0", "0"]
    assert seen[2][1]["error"]["code"] == "SubscriptionRequestsThrottled"
    assert seen[2][2]["Retry-After"] == "2"


# --- resources

CLUSTER = (
    "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.Cache/redisEnterprise/mine"
    "?api-version=2024-10-01"
).format("e7b6d1a2-5c1f-4f0e-9a57-0d1c5e2a9b10")


async def test_put_starts_an_operation(arm: Harness) -> None:
    url = arm.endpoint + CLUSTER
    async with arm.client.put(url, json={"location": "West US", "sku": {"name": "B5"}}) as response:
        assert response.status == 201
        created, poll = await response.json(), response.headers["Azure-AsyncOperation"]
    assert created["properties"]["provisioningState"] == "Creating"
    assert created["type"] == "Microsoft.Cache/redisEnterprise"
    assert created["sku"] == {"name": "B5"}
    assert "/providers/Microsoft.Cache/locations/westus/operationsStatus/" in poll
    assert (await arm.get(poll))[1]["status"] == "InProgress"
    arm.clock.advance(10)
    assert (await arm.get(poll))[1]["status"] == "Succeeded"
    assert (await arm.get(url))[1]["properties"]["provisioningState"] == "Succeeded"


async def test_tag_chooses_the_script_of_a_put(arm: Harness) -> None:
    url, body = arm.endpoint + CLUSTER, {"tags": {"simulator": "failed"}}
    async with arm.client.put(url, json=body) as response:
        poll = response.headers["Azure-AsyncOperation"]
    arm.clock.advance(10)
    assert (await arm.get(poll))[1]["status"] == "Failed"
    assert (await arm.get(url))[1]["properties"]["provisioningState"] == "Failed"


async def test_tag_says_how_long_a_put_takes(arm: Harness) -> None:
    url, body = arm.endpoint + CLUSTER, {"tags": {"simulatorSeconds": "2.5"}}
    async with arm.client.put(url, json=body) as response:
        poll = response.headers["Azure-AsyncOperation"]
    arm.clock.advance(2)
    assert (await arm.get(poll))[1]["status"] == "InProgress"
    arm.clock.advance(0.5)
    assert (await arm.get(poll))[1]["status"] == "Succeeded"


async def test_delete_returns_two_status_urls(arm: Harness) -> None:
    url = arm.endpoint + CLUSTER
    async with arm.client.put(url, json={}):
        arm.clock.advance(10)
    async with arm.client.delete(url) as response:
        assert response.status == 202
        headers = response.headers
        status_url, location = headers["Azure-AsyncOperation"], headers["Location"]
    assert (await arm.get(location))[0] == 202
    assert (await arm.get(url))[1]["properties"]["provisioningState"] == "Deleting"
    arm.clock.advance(10)
    assert (await arm.get(status_url))[1]["status"] == "Succeeded"
    assert (await arm.get(location))[0] == 204
    assert (await arm.get(url))[1]["error"]["code"] == "ResourceNotFound"
    async with arm.client.delete(url) as response:
        assert response.status == 204


async def test_failed_delete_leaves_the_resource(arm: Harness) -> None:
    url = arm.endpoint + CLUSTER
    async with arm.client.put(url, json={"tags": {"simulator": "failed"}}):
        arm.clock.advance(10)
    async with arm.client.delete(url) as response:
        location = response.headers["Location"]
    arm.clock.advance(10)
    status, body, _ = await arm.get(location)
    assert (status, body["error"]["code"]) == (409, "DeploymentFailed")
    assert (await arm.get(url))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"tags": {"simulator": "no such"}}',
        '{"tags": {"simulatorSeconds": "soon"}}',
        '{"tags": {"simulatorSeconds": "-1"}}',
        '{"tags": {"simulatorSeconds": "nan"}}',
    ],
)
async def test_invalid_put_is_rejected(arm: Harness, body: str) -> None:
    async with arm.client.put(arm.endpoint + CLUSTER, data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "InvalidRequestContent"


# --- control


async def test_operation_is_started_over_http(arm: Harness) -> None:
    scenario = {"duration": 3, "ending": {"status": "Canceled"}, "id": "abc"}
    status, started = await arm.control("operations", scenario)
    assert (status, started["id"]) == (201, "abc")
    assert started["path"].endswith("/operationsStatus/abc")
    arm.clock.advance(3)
    assert (await arm.get(started["url"]))[1]["status"] == "Canceled"


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        ({}, ["Azure-AsyncOperation"]),
        ({"script": "redis-flush"}, ["Azure-AsyncOperation", "Location"]),
        ({"style": "location"}, ["Location"]),
    ],
)
async def test_start_returns_the_headers_of_its_style(
    arm: Harness, scenario: object, names: list[str]
) -> None:
    async with arm.anonymous.put(f"{arm.endpoint}/simulator/operations", json=scenario) as response:
        url = (await response.json())["url"]
        assert [response.headers[name] for name in names] == [url] * len(names)
        assert len({"Azure-AsyncOperation", "Location"} & set(response.headers)) == len(names)


async def test_script_is_started_with_changes(arm: Harness) -> None:
    place = {"location": "eastus"}
    body = {"script": "failed", "duration": "never", "signed": True, "place": place}
    _, started = await arm.control("operations", body)
    scenario = arm.operation(started["id"]).scenario
    assert (scenario.duration, scenario.signed) == (None, True)
    assert scenario.ending is not None
    assert scenario.ending["status"] == "Failed"
    assert "/locations/eastus/" in started["path"]


async def test_duration_can_be_drawn(arm: Harness) -> None:
    _, started = await arm.control("operations", {"duration": "uniform:5:6"})
    duration = arm.operation(started["id"]).scenario.duration
    assert duration is not None
    assert 5 <= duration.total_seconds() <= 6


@pytest.mark.parametrize(
    "body",
    [[], {"script": "no such"}, {"durration": 1}, {"duration": "soon"}, {"template": "/{who}"},
     {"place": "westus"}],
)  # fmt: skip
async def test_invalid_start_is_rejected(arm: Harness, body: object) -> None:
    status, problem = await arm.control("operations", body)
    assert status == 400
    assert problem["detail"]
    assert arm.operations() == []


async def test_report_has_polls_and_lag(arm: Harness) -> None:
    fault = FixedReply(status=500, first_poll=2, last_poll=2)
    started = arm.start(Scenario(duration=TEN, faults=(fault,)))
    path = f"operations/{started.id}"
    assert (await arm.control(path))[1] == {
        "id": started.id,
        "startedAt": "2026-11-23T03:00:00Z",
        "endsAt": "2026-11-23T03:00:10Z",
        "ended": False,
        "polls": 0,
        "firstPolledAt": None,
        "lastPolledAt": None,
        "endSeenAt": None,
        "lagSeconds": None,
    }
    for _ in range(4):
        arm.clock.advance(6)
        await arm.get(started.url)
    _, report = await arm.control(path)
    assert report["polls"] == 4
    assert report["firstPolledAt"] == "2026-11-23T03:00:06Z"
    assert report["lastPolledAt"] == "2026-11-23T03:00:24Z"
    assert report["endSeenAt"] == "2026-11-23T03:00:18Z"
    assert (report["ended"], report["lagSeconds"]) == (True, 8.0)
    assert (await arm.control("operations"))[1] == {"value": [report]}


async def test_request_log_has_token_status(arm: Harness) -> None:
    started = arm.start()
    await arm.get(started.url, arm.anonymous)
    await arm.get(started.url)
    log = (await arm.control("requests"))[1]["value"]
    assert log[1] == {
        "at": "2026-11-23T03:00:00Z",
        "method": "GET",
        "path": started.path,
        "query": "api-version=2024-10-01",
        "status": 200,
        "token": "valid",
        "operationId": started.id,
    }
    assert (log[0]["status"], log[0]["token"], len(log)) == (401, "missing", 2)
    assert (await arm.control("requests?top=1"))[1] == {"value": log[1:]}


@pytest.mark.parametrize("path", ["operations/none", "nothing", "requests/1"])
async def test_unknown_control_route_is_not_found(arm: Harness, path: str) -> None:
    assert (await arm.control(path))[0] == 404


async def test_listed_scripts_can_be_started(arm: Harness) -> None:
    _, scripts = await arm.control("scripts")
    for name, scenario in scripts.items():
        status, started = await arm.control("operations", scenario)
        assert status == 201, name
        assert arm.operation(started["id"]).scenario.style == scenario["style"]


# --- the simulator as a library


async def test_seed_makes_ids_repeatable(clock: ManualClock) -> None:
    def ids(seed: int) -> list[str]:
        arm = Simulator(seed=seed, clock=clock)
        return [arm.start().id for _ in range(3)]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


async def test_concurrent_polls_are_all_counted(arm: Harness) -> None:
    urls = [arm.start().url for _ in range(1000)]
    statuses = await asyncio.gather(*(arm.get(url) for url in urls))
    assert {status for status, _, _ in statuses} == {200}
    assert {operation.polls for operation in arm.operations()} == {1}


def test_operation_id_is_unique_and_must_exist(clock: ManualClock) -> None:
    arm = Simulator(clock=clock)
    arm.start(operation_id="Mine")
    with pytest.raises(ValueError, match="mine already exists"):
        arm.start(operation_id="mine")
    with pytest.raises(KeyError):
        arm.operation("none")
