"""HTTP requests and responses as values, as the API sees them."""

from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from opswatch.api import API_PATH
from opswatch.core.texts import to_json

JSON, PROBLEM = "application/json", "application/problem+json"
# On every answer; the page adds its policy.
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request; names of headers are in lower case."""

    method: str
    url: str  # absolute, as the client sent it
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def origin(self) -> str:
        """The scheme and host at which the client has found the app."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}".lower()

    @property
    def base(self) -> str:
        """The absolute URL under which the API is."""
        return self.origin + API_PATH

    @property
    def path(self) -> str | None:
        """The path below the prefix, as it was sent, without outer slashes; None outside of it."""
        path = urlsplit(self.url).path
        if path.lower() != API_PATH and not path.lower().startswith(f"{API_PATH}/"):
            return None
        return path[len(API_PATH) :].strip("/")

    @property
    def query(self) -> list[tuple[str, str]]:
        """The names and values of the query, in order."""
        return parse_qsl(urlsplit(self.url).query, keep_blank_values=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response; names of headers are in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_response(
    value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    """Return `value` as JSON."""
    body = to_json(value).encode()
    return Response(status=status, headers={"content-type": JSON, **(headers or {})}, body=body)


def with_tag(request: Request, response: Response) -> Response:
    """Return the answer to a GET with an `ETag`, or 304 if the client has it already.

    `If-None-Match` compares weakly (RFC 9110, 13.1.2).
    """
    if request.method not in ("GET", "HEAD") or response.status != HTTPStatus.OK:
        return response
    tag = f'"{sha256(response.body).hexdigest()[:32]}"'
    headers = {**response.headers, "etag": tag}
    known = request.headers.get("if-none-match", "")
    tags = {part.strip().removeprefix("W/") for part in known.split(",")}
    if tag in tags or known.strip() == "*":
        headers.pop("content-type", None)
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(status=response.status, headers=headers, body=response.body)
