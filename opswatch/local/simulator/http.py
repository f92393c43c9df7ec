"""HTTP requests and responses as values, so that a test needs no socket; and ARM's error bodies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as received."""

    method: str
    target: str  # path and query, byte for byte
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""

    @cached_property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """The query, byte for byte."""
        return self.target.partition("?")[2]

    @property
    def origin(self) -> str:
        """Scheme and host that the client used."""
        return f"http://{self.headers.get('host', 'localhost')}"

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The query's parameters, names in lower case."""
        return {name.lower(): value for name, value in parse_qsl(self.query)}

    def json_object(self) -> dict[str, Any]:
        """Return the body, a JSON object or empty; raise `ValueError`."""
        body = json.loads(self.body or b"{}")
        if not isinstance(body, dict):
            raise ValueError("The request content is not a JSON object.")  # noqa: TRY004
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response to send, and how the connection misbehaves."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: timedelta = timedelta(0)  # before the first byte
    cut_off: bool = False  # close the connection in the middle of the body

    def with_header(self, name: str, value: str) -> "Response":
        """Return a copy with one more header."""
        return replace(self, headers={**self.headers, name: value})


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response that carries `body` as JSON."""
    return Response(
        status=status,
        headers={"Content-Type": JSON_TYPE, **(headers or {})},
        body=json.dumps(body, separators=(",", ":")).encode(),
    )


def arm_error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ARM's error envelope.

    https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/common-api-details.md
    """
    return json_response(status, {"error": {"code": code, "message": message}}, headers)
