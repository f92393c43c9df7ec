"""Authentication of storage requests: shared keys, shared access signatures, Entra tokens.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from azure.core.exceptions import ClientAuthenticationError

from opswatch.adapters.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request before it is sent."""

    method: str
    url: str  # percent-encoded, as it goes out
    headers: Mapping[str, str]
    body: bytes


async def _has_no_others(_: Request) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Signer:
    """Adds credentials to a request."""

    kind: Literal["key", "signature", "token"]  # what a refusal is about
    sign: Callable[[Request], Awaitable[Request]]  # returns the request with credentials
    # After a 401: gets other credentials, and returns whether the request may be signed again.
    replace: Callable[[Request], Awaitable[bool]] = _has_no_others


_STANDARD_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


def shared_key_for_queues(account: str, key: str) -> Signer:
    """Return a signer for the queue service, with the account's key in base64."""

    async def sign(request: Request) -> Request:
        dated = _dated(request)
        parts = urlsplit(dated.url)
        standard = [dated.method, *(_standard(dated, name) for name in _STANDARD_HEADERS)]
        ours = sorted((name, v) for name, v in dated.headers.items() if name.startswith("x-ms-"))
        parameters = sorted(parse_qsl(parts.query, keep_blank_values=True))
        text = "\n".join(
            [
                *standard,
                *(f"{name}:{value}" for name, value in ours),
                f"/{account}{parts.path}",
                *(f"{name.lower()}:{value}" for name, value in parameters),
            ]
        )
        return _authorized(dated, f"SharedKey {account}:{_signature(key, text)}")

    return Signer("key", sign)


def shared_key_for_tables(account: str, key: str) -> Signer:
    """Return a signer for the table service, with the account's key in base64."""

    async def sign(request: Request) -> Request:
        dated = _dated(request)
        text = f"{dated.headers['x-ms-date']}\n/{account}{urlsplit(dated.url).path}"
        return _authorized(dated, f"SharedKeyLite {account}:{_signature(key, text)}")

    return Signer("key", sign)


def access_signature(signature: str) -> Signer:
    """Return a signer that adds a shared access signature, a query, to a request's URL."""
    query = signature.removeprefix("?")

    async def sign(request: Request) -> Request:
        joint = "&" if "?" in request.url else "?"
        return replace(_dated(request), url=f"{request.url}{joint}{query}")

    return Signer("signature", sign)


def bearer(tokens: Tokens) -> Signer:
    """Return a signer that adds the token of an identity."""

    async def sign(request: Request) -> Request:
        return _authorized(_dated(request), f"Bearer {await tokens.get()}")

    async def replace_token(signed: Request) -> bool:
        refused = signed.headers["Authorization"].removeprefix("Bearer ")
        return (await tokens.replace(refused)).token != refused

    return Signer("token", sign, replace_token)


def _standard(request: Request, name: str) -> str:
    if name == "Content-Length":
        return str(len(request.body) or "")
    return request.headers.get(name, "")


def _dated(request: Request) -> Request:
    """Return `request` with its time, which the services require."""
    return replace(request, headers={**request.headers, "x-ms-date": formatdate(usegmt=True)})


def _authorized(request: Request, authorization: str) -> Request:
    return replace(request, headers={**request.headers, "Authorization": authorization})


def _signature(key: str, text: str) -> str:
    try:
        secret = b64decode(key)
    except ValueError as error:
        raise ClientAuthenticationError(
            "the account's key is not base64: is it complete?"
        ) from error
    return b64encode(hmac.digest(secret, text.encode(), "sha256")).decode()
