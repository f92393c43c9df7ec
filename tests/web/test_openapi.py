"""The OpenAPI document agrees with the routes, the codes and the answers."""

import json
import re
from typing import Any

import pytest

from opswatch.core.errors import Reason
from opswatch.web.openapi import document
from opswatch.web.parameters import CONTINUATION
from opswatch.web.problems import CODES, Code
from opswatch.web.routes import ROUTES, find_routes
from opswatch.web.schemas import SCHEMAS
from tests.web.client import Client


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"].rpartition("/")[2]} if "$ref" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_document_is_served(client: Client) -> None:
    answer = await client.get("openapi.json")
    assert answer.json == json.loads(json.dumps(document()))
    assert answer.json["openapi"] == "3.1.0"


def test_document_has_every_route_once() -> None:
    described = {
        (method.upper(), path.removeprefix("/")): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }
    assert described.keys() == {(route.method, route.path) for route in ROUTES}
    assert len(described) == len(ROUTES)
    for route in ROUTES:
        operation = described[route.method, route.path]
        assert operation["operationId"] == route.name
        query = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
        known = {each.name for each in route.parameters if each is not CONTINUATION}
        assert query == known | {"api-version"}
        assert bool(operation["security"]) == (route.function in ("read", "write"))
        assert ("requestBody" in operation) == (route.body is not None)


def test_every_schema_is_used_and_exists() -> None:
    assert references(document()) == SCHEMAS.keys()


def test_every_code_is_listed() -> None:
    codes = {*(code.code for code in Code), *(reason.value for reason in Reason)}
    assert set(CODES) == codes
    words = set(re.findall(r"\w+", json.dumps(document()["paths"])))
    # A route that exists has no NotFound and no MethodNotAllowed.
    assert codes - words == {"NotFound", "MethodNotAllowed"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_path_leads_to_its_route_alone(route: Any) -> None:
    path = route.path.replace("{subscription}", "s").replace("{key}", "a~b~c~d")
    found = {each.path for each, _ in find_routes(path)}
    assert found == {route.path}
