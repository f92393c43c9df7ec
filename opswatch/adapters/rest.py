"""A service of a storage account over its REST API, for the few calls that each poll makes.

The SDK passes a call through a dozen policies, which cost several times as much as the call itself:
see docs/performance.md. Calls made once a minute, or by hand, use the SDK (`account.py`).
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from types import MappingProxyType

import aiohttp
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from yarl import URL

from opswatch.adapters.failures import reason
from opswatch.adapters.signing import Request, Signer
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line

# A function never sleeps longer than a second or two in a retry: the schedule waits instead.
_PAUSES = (0.25, 0.75)  # seconds before each retry, and at random up to as much again
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_ERRORS: Mapping[int, type[HttpResponseError]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: ClientAuthenticationError,
        HTTPStatus.NOT_FOUND: ResourceNotFoundError,
        HTTPStatus.CONFLICT: ResourceExistsError,
        HTTPStatus.PRECONDITION_FAILED: ResourceModifiedError,
    }
)
# Tables answer in JSON, queues in XML. Without the header x-ms-error-code the body has the code.
_CODE = re.compile(rb'"odata\.error"\s*:\s*\{\s*"code"\s*:\s*"(\w+)|<Code>(\w+)')
_MESSAGE = re.compile(rb'"value"\s*:\s*"((?:[^"\\]|\\.)*)"|<Message>([^<]*)')
_NO_TABLE = "TableNotFound"
_AT_ONCE = 1024 * 1024  # bytes: with more, aiohttp warns
_UNASKED = ("Content-Type",)  # aiohttp would add it, unsigned
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that succeeded."""

    headers: Mapping[str, str]  # names match in any case
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The queue or the table service of one account."""

    session: aiohttp.ClientSession
    uri: str  # no slash at the end
    signer: Signer
    headers: Mapping[str, str]  # of every request
    timeout: aiohttp.ClientTimeout
    proxy: str | None = None
    pauses: tuple[float, ...] = _PAUSES

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = NO_HEADERS,
        check: Callable[[Answer], None] | None = None,
    ) -> Answer:
        """Send a request, with retries if they can help; raise azure-core's `AzureError`.

        `path` follows the service's URI, with its query, and is percent-encoded. Any request whose
        answer got lost is sent again: a write may conflict with itself. `is_repeated` distinguishes
        that from a conflict with another writer. `check` raises the error within an answer that
        succeeded.
        """
        request = Request(
            method=method,
            url=f"{self.uri}/{path}",
            headers={**self.headers, **headers},
            body=body,
        )
        for number, pause in enumerate((*self.pauses, None)):
            try:
                answer = await self._try(request)
                if check is not None:
                    check(answer)
            except (ServiceRequestError, ServiceResponseError, HttpResponseError) as error:
                if pause is None or not _can_pass(error):
                    error.is_repeated = number > 0  # type: ignore[union-attr]  # ours
                    raise
            else:
                return answer
            await asyncio.sleep(pause * (1 + random.random()))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")

    async def _try(self, request: Request) -> Answer:
        """Send a request, and again if its token is refused and there is another."""
        signed = await self.signer.sign(request)
        response, body = await self._send(signed)
        if response.status == HTTPStatus.UNAUTHORIZED and await self.signer.replace(signed):
            response, body = await self._send(await self.signer.sign(request))
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            error = error_of(response.status, response.reason or "", response.headers, body)
            path = request.url.removeprefix(f"{self.uri}/").partition("?")[0]
            error.asked = f"{request.method} {path}"  # type: ignore[attr-defined]  # ours
            error.credentials = self.signer.kind  # type: ignore[attr-defined]  # ours
            raise error
        return Answer(response.headers, body)

    async def _send(self, signed: Request) -> tuple[aiohttp.ClientResponse, bytes]:
        failed: tuple[type[AzureError], str]
        try:
            async with self.session.request(
                signed.method,
                URL(signed.url, encoded=True),
                data=_payload(signed.body),
                headers=signed.headers,
                skip_auto_headers=_UNASKED,
                timeout=self.timeout,
                proxy=self.proxy,
                allow_redirects=False,
            ) as response:
                return response, await response.read()
        except aiohttp.ClientConnectorError as error:
            failed = ServiceRequestError, reason(error)
        except TimeoutError:
            failed = ServiceResponseTimeoutError, "no answer in time"
        except (aiohttp.ClientError, OSError) as error:
            failed = ServiceResponseError, reason(error)
        # Here, because an `AzureError` keeps the text of the exception that is being handled.
        kind, text = failed
        raise kind(text)


def _payload(body: bytes) -> bytes | BytesIO | None:
    """Return what aiohttp sends as `body`: bytes at once, or a large transaction in pieces."""
    return BytesIO(body) if len(body) > _AT_ONCE else body or None


def is_repeated(error: HttpResponseError) -> bool:
    """Return whether the request had been sent before: a conflict may then be with itself."""
    return bool(getattr(error, "is_repeated", False))


def _can_pass(error: Exception) -> bool:
    return not isinstance(error, HttpResponseError) or error.status_code in _RETRIED


def error_of(
    status: int, reason_phrase: str, headers: Mapping[str, str], body: bytes
) -> HttpResponseError:
    """Return the error for an answer, with the type that says what it means for the caller.

    A 409 says that something exists only if it says so, or nothing: a table or a queue that is
    being deleted will be missing. A 404 of a table's is not one of its row.
    """
    code = headers.get("x-ms-error-code")
    if not code and (coded := _CODE.search(body)):
        code = (coded[1] or coded[2]).decode()
    found = _MESSAGE.search(body)
    said = (found[1] or found[2] or b"").decode(errors="replace") if found else ""
    request_id = headers.get("x-ms-request-id")
    kind = _ERRORS.get(status, HttpResponseError)
    is_conflict = kind is ResourceExistsError and code and not code.endswith("AlreadyExists")
    if is_conflict or code == _NO_TABLE:
        kind = HttpResponseError
    error = kind(one_line(f"{status} {code or reason_phrase}: {redact_text(said)} ({request_id})"))
    error.status_code, error.reason = status, reason_phrase
    error.error_code = code  # type: ignore[attr-defined]  # as the SDKs have it
    return error
