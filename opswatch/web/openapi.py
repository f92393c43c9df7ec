"""The OpenAPI document, made of the table of routes."""

from functools import cache
from http import HTTPStatus
from typing import Any

from opswatch.api import API_PATH
from opswatch.core.errors import Reason
from opswatch.web.http import JSON, PROBLEM
from opswatch.web.parameters import API_VERSION, CONTINUATION, VERSION
from opswatch.web.problems import Code
from opswatch.web.routes import PATH_PARTS, ROUTES, Route
from opswatch.web.schemas import SCHEMAS

_EVERY = (Code.UNKNOWN_PARAMETER, Code.INVALID_PARAMETER, Code.UNSUPPORTED_API_VERSION)
_CHANGING = (Code.CONTENT_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.FOREIGN_ORIGIN)
_FAULTS = (Code.NOT_READY, Code.INTERNAL_ERROR)
_KEY = "key"
_HEADERS: dict[str, Any] = {
    "ETag": {"schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to the next poll; while the operation is watched.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Location": {"required": True, "schema": {"type": "string", "format": "uri"}},
    "Operation-Location": {"required": True, "schema": {"type": "string", "format": "uri"}},
}

# Where an operation in an answer leads to.
_LINKS = {
    route.name: {
        "operationId": route.name,
        "parameters": {
            "path.subscription": "$response.body#/subscriptionId",
            "path.key": "$response.body#/key",
        },
    }
    for route in ROUTES
    if "{key}" in route.path
}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document; the host's address is that of the request for it."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "opswatch",
            "version": API_VERSION,
            "description": "Watches Azure Resource Manager operations to their end.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": API_PATH}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                _KEY: {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-functions-key",
                    "description": "The function key of `read` (GET) or of `write` (all others).",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    path_parts = [name for name in PATH_PARTS if f"{{{name}}}" in route.path]
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "pattern": f"^{PATH_PARTS[name]}$"},
                }
                for name in path_parts
            ),
            *(
                {
                    "name": each.name,
                    "in": "query",
                    "description": each.description,
                    "schema": each.schema,
                }
                for each in (*route.parameters, VERSION)
                if each is not CONTINUATION
            ),
        ],
        "responses": _responses(route),
        "security": [{_KEY: []}] if route.function in ("read", "write") else [],
    }
    if route.body is not None:
        schema: dict[str, Any] = {"$ref": f"#/components/schemas/{route.body}"}
        if route.body == "Post":
            one = {"type": "string", "minLength": 1, "description": "One of the forms, as a text."}
            schema = {"anyOf": [schema, one]}
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return described


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in route.answers.items():
        shape = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
        responses[str(int(status))] = {
            "description": HTTPStatus(status).phrase,
            "content": {JSON: {"schema": shape}},
            "headers": _headers(route, status),
        }
        if schema == "Operation":
            responses[str(int(status))]["links"] = _LINKS
    if route.method == "GET":
        not_modified = {"description": "The client has it already", "headers": _pick("ETag")}
        responses["304"] = not_modified
    if route.function in ("read", "write"):
        responses["401"] = {"description": "No key, or a wrong one; the host answers, no body"}
    by_status: dict[int, list[str]] = {}
    changing = _CHANGING if route.method != "GET" else ()
    for code in (*_EVERY, *changing, *route.codes, *_FAULTS):
        by_status.setdefault(code.status, []).append(code.code)
    if route.body == "Post":
        by_status[HTTPStatus.BAD_REQUEST] += [reason.value for reason in Reason]
    for status, codes in sorted(by_status.items()):
        problem: dict[str, Any] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}",
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        known = responses.setdefault(str(int(status)), problem)
        known["content"] |= problem["content"]
    return dict(sorted(responses.items()))


def _headers(route: Route, status: int) -> dict[str, Any]:
    if route.name == "postOperation":
        return _pick("Location", "Operation-Location", "Retry-After")
    if status == HTTPStatus.ACCEPTED and route.method == "GET":
        return _pick("Location", "Retry-After")
    if route.method == "GET" and status == HTTPStatus.OK:
        return _pick("ETag", "Retry-After") if "{key}" in route.path else _pick("ETag")
    return {}


def _pick(*names: str) -> dict[str, Any]:
    return {name: _HEADERS[name] for name in names}
