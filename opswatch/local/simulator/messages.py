"""HTTP as values, for a server that can be asked without a socket; and ARM's error bodies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from urllib.parse import parse_qsl, unquote

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came: `target` byte for byte, header names in lower case."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str] = field(default_factory=dict)
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
        """Scheme and host, as the client called them."""
        return f"http://{self.headers.get('host', 'localhost')}"

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The query's parameters, names in lower case."""
        return {name.lower(): value for name, value in parse_qsl(self.query)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send back, and how badly."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: timedelta = timedelta(0)  # before the first byte
    cut: bool = False  # the connection closes in the middle of the body


def json_answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that carries `body` as JSON."""
    return Answer(
        status=status,
        headers={"Content-Type": JSON_TYPE, **(headers or {})},
        body=json.dumps(body, separators=(",", ":")).encode(),
    )


def arm_error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return ARM's error envelope.

    https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/common-api-details.md
    """
    return json_answer(status, {"error": {"code": code, "message": message}}, headers)
