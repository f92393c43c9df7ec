"""What every answer has, and the order in which requests are refused."""

import json
import logging
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError

from opswatch.core.errors import ConfigError
from opswatch.core.texts import from_json
from opswatch.ports import Services
from opswatch.web.http import Request
from opswatch.web.problems import Code
from opswatch.web.router import Router
from opswatch.web.routes import ROUTES, Route
from tests.support.harness import KEY, OPERATION, Harness
from tests.web.client import BASE, ORIGIN, Client

LARGE = json.dumps({"operation": OPERATION, "more": "x" * 70_000}).encode()
ONE = f"operations/{KEY.partition}/{KEY.row}"


def path_of(route: Route) -> str:
    return route.path.replace("{subscription}", KEY.partition).replace("{key}", KEY.row)


@pytest.mark.parametrize("path", ["operations", "nope", "health", "operations/a/b", "openapi.json"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE"])
async def test_every_answer_has_its_headers(client: Client, method: str, path: str) -> None:
    answer = await client.send(method, path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-robots-tag"] == "noindex"
    if method == "HEAD" or answer.status == 204:
        assert not answer.response.body
    elif answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-ms-error-code"] == answer.code == answer.json["error"]["code"]
        assert answer.json["status"] == answer.status
        assert answer.json["error"]["message"] == answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code"),
    [
        ("POST", "nope", LARGE, {}, Code.NOT_FOUND),
        ("PUT", "operations", LARGE, {}, Code.METHOD_NOT_ALLOWED),
        ("POST", "health", LARGE, {}, Code.METHOD_NOT_ALLOWED),
        ("POST", "operations", LARGE, {}, Code.CONTENT_TOO_LARGE),
        ("POST", "operations", b"x", {}, Code.UNSUPPORTED_MEDIA_TYPE),
        ("POST", "operations", b"{}", {"content_type": "text/plain"}, Code.UNSUPPORTED_MEDIA_TYPE),
        ("POST", "operations", b"{}", {"origin": "http://evil.example"}, Code.FOREIGN_ORIGIN),
        ("POST", f"{ONE}/stop", None, {"origin": "null"}, Code.FOREIGN_ORIGIN),
        ("POST", f"{ONE}/stop", None, {"origin": f"{ORIGIN}:8443"}, Code.FOREIGN_ORIGIN),
        ("POST", f"{ONE}/stop", None, {"origin": "http://app.example.com"}, Code.FOREIGN_ORIGIN),
        ("POST", f"{ONE}/stop?x=1", None, {}, Code.UNKNOWN_PARAMETER),
        ("POST", f"{ONE}/stop", None, {}, Code.OPERATION_NOT_FOUND),
        ("GET", "../secret", None, {}, Code.NOT_FOUND),
        ("GET", "operations/a%2Fb/c", None, {}, Code.NOT_FOUND),
        ("GET", "operations/a/b%0A", None, {}, Code.NOT_FOUND),
        ("GET", f"{ONE}?code=secret", None, {}, Code.UNKNOWN_PARAMETER),
        ("GET", f"{ONE}?api-version=2020-01-01", None, {}, Code.UNSUPPORTED_API_VERSION),
    ],
)
async def test_refusals_come_in_order(
    client: Client, method: str, path: str, body: bytes | None, headers: dict[str, str], code: Code
) -> None:
    answer = await client.send(method, path, body, **headers)
    assert (answer.status, answer.code) == (code.status, code.code)
    assert "secret" not in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "status"), [("/api/operations", 200), ("/API/operations/", 200), ("/apix", 404)]
)
async def test_prefix_is_matched_in_any_case(client: Client, path: str, status: int) -> None:
    assert (await client.get(ORIGIN + path)).status == status


async def test_own_origin_and_no_body_are_taken(client: Client) -> None:
    answer = await client.post(f"{ONE}/stop", origin=ORIGIN, content_type="text/plain")
    assert answer.code == "OperationNotFound"
    answer = await client.post(
        "operations", b"{}", origin=ORIGIN, content_type="Application/JSON; charset=utf-8"
    )
    assert answer.code == "UnknownShape"


async def test_verdict_on_health_is_kept_for_seconds(harness: Harness, client: Client) -> None:
    asked = 0
    checked = harness.operations.depth

    async def depth() -> int:
        nonlocal asked
        asked += 1
        return await checked()

    harness.operations.depth = depth  # type: ignore[method-assign]
    counts = []
    for later in (0, 9, 2, 9):
        harness.advance(seconds=later)
        assert (await client.get("health")).status in (200, 503)
        counts.append(asked)
    assert counts[0] == counts[1] < counts[2] == counts[3]


async def test_options_names_the_methods(client: Client) -> None:
    for path, allowed in [
        ("operations", "POST, GET, HEAD, OPTIONS"),
        (ONE, "GET, HEAD, OPTIONS"),
        (f"{ONE}/stop", "POST, OPTIONS"),
    ]:
        assert (await client.send("OPTIONS", path)).headers["allow"] == allowed
        assert (await client.send("DELETE", path)).headers["allow"] == allowed


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"])
async def test_unchanged_answer_is_not_sent_again(
    harness: Harness, client: Client, route: Route
) -> None:
    await harness.ended()
    path = path_of(route)
    first = await client.get(path)
    assert first.status == 200, first.json
    tag = first.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = await client.get(path, if_none_match=known)
        assert (again.status, again.response.body) == (304, b"")
        assert again.headers["etag"] == tag
    assert (await client.get(path, if_none_match='"other"')).status == 200
    assert (await client.send("HEAD", path)).headers["etag"] == tag


@pytest.mark.parametrize("function", ["health", "page"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_function_without_key_serves_its_own_routes(
    harness: Harness, client: Client, function: str, route: Route
) -> None:
    """Whatever the host passes to it, an anonymous function shows no operation."""
    await harness.ended()
    answer = await client.send(route.method, path_of(route), function=function)
    assert (answer.status == 404) == (route.function != function)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError(["OPSWATCH_TIMEOUT: 'secret'"]), 503, "NotReady"),
        (ServiceRequestError("no route to secret"), 503, "NotReady"),
        (RuntimeError("secret"), 500, "InternalError"),
    ],
)
async def test_fault_is_a_problem_without_its_text(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def services() -> Services:
        raise error

    with caplog.at_level(logging.WARNING, "opswatch"):
        for path in ("operations", "health"):
            request = Request(method="GET", url=f"{BASE}/{path}")
            response = await Router(services).respond(request, "read")
            assert response.status == status
            assert response.headers["cache-control"] == "no-store"
            assert ("retry-after" in response.headers) is isinstance(error, ServiceRequestError)
            body: Any = from_json(response.body)
            assert body["code"] == code
            assert b"secret" not in response.body
    assert len(caplog.records) == 2
