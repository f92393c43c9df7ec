"""HTTP requests and answers as values; nothing here sends them."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
# What failed: for a callback the step of the exchange, for ARM also getting the token.
Layer = Literal["dns", "connect", "tls", "timeout", "http", "refused", "token"]


def is_outage(status_code: int) -> bool:
    """Return whether a service is down or busy: the same request may succeed some time later."""
    return status_code in _BUSY or status_code >= HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A POST, ready to be sent."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response."""

    status_code: int
    headers: dict[str, str]  # names in lower case
    body: bytes = b""  # as much of it as was read


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No HTTP response arrived."""

    layer: Layer  # which failed
    error: str
