"""ARM over HTTP: a GET with the app's token, to the configured endpoint and nowhere else."""

import asyncio
import re
from base64 import b64decode
from datetime import timedelta
from http import HTTPStatus

import aiohttp
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from yarl import URL

from opswatch.adapters.answer_reader import is_json_document
from opswatch.adapters.answers import AnswerConnector, joined_headers, unpack
from opswatch.adapters.failures import reason
from opswatch.adapters.sessions import MAX_CONNECTIONS, environment_proxy
from opswatch.adapters.tokens import Identity, Tokens
from opswatch.core.errors import RefusedError
from opswatch.core.http import HttpResponse, Layer, NoAnswer
from opswatch.core.texts import from_json
from opswatch.core.urls import own_url

_TIMEOUT = timedelta(seconds=30)
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "opswatch",
}
_MAX_BODY = 4 * 1024 * 1024  # bytes; a status is some kilobytes
_URL_SAFE = str.maketrans("-_", "+/")
_CLAIMS = re.compile(r'\bclaims="([^"]+)"', re.IGNORECASE)


class HttpArm:
    """ARM without retries, which the schedule makes, and without redirects."""

    def __init__(
        self,
        endpoint: str,
        scope: str,
        identity: Identity,
        timeout: timedelta = _TIMEOUT,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout.total_seconds()
        self._session = aiohttp.ClientSession(
            connector=AnswerConnector(limit=MAX_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,  # `unpack` does that, within a limit
            timeout=aiohttp.ClientTimeout(),  # none: `_ask` has one for the whole exchange
        )
        self._tokens = Tokens(identity, scope)
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._proxy = environment_proxy(endpoint)

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        """GET a status URL with the app's token; every outcome is a value."""
        try:
            own = own_url(url, self._endpoint)
        except RefusedError as refused:
            return NoAnswer("refused", refused.detail)
        try:
            async with self._room:  # the time limits run from here on, not while a poll waits
                return await self._get(own)
        except (AzureError, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return NoAnswer(_layer(error), reason(error))

    async def _get(self, url: str) -> HttpResponse | NoAnswer:
        """Ask again, once, if the token is refused, with a token that meets the challenge."""
        token = await self._tokens.get()
        answer = await self._ask(url, token)
        if isinstance(answer, HttpResponse) and answer.status_code == HTTPStatus.UNAUTHORIZED:
            other = (await self._tokens.replace(token, _challenge(answer))).token
            if other != token:
                answer = await self._ask(url, other)
        return answer

    async def _ask(self, url: str, token: str) -> HttpResponse | NoAnswer:
        trouble = None
        raw = bytearray()
        async with (
            asyncio.timeout(self._timeout),
            self._session.get(
                URL(url, encoded=True),  # byte for byte: quoting it again would break a signature
                headers={"Authorization": f"Bearer {token}"},
                allow_redirects=False,
                proxy=self._proxy,
            ) as response,
        ):
            try:
                async for chunk in response.content.iter_any():
                    raw += chunk
                    if len(raw) > _MAX_BODY:
                        break
            except aiohttp.ClientPayloadError:
                trouble = f"{response.status} with a body that broke off"
        headers = joined_headers(response.headers.items())
        unpacked = unpack(bytes(raw), headers, _MAX_BODY)
        body = unpacked.content
        if not unpacked.is_whole:
            trouble = f"{response.status} with a compressed body that broke off"
        if len(raw) > _MAX_BODY or len(body) > _MAX_BODY:
            trouble, body = f"a body of more than {_MAX_BODY} bytes", b""
        # A broken body may still be whole JSON. A refusal counts even without its body.
        is_success = response.status < HTTPStatus.MULTIPLE_CHOICES
        if trouble and is_success and not is_json_document(body):
            return NoAnswer("http", trouble)
        return HttpResponse(response.status, headers, body)

    async def close(self) -> None:
        """Close every connection."""
        await self._tokens.close()
        await self._session.close()


def _challenge(answer: HttpResponse) -> str | None:
    """Return the claims that a 401 asks for, as JSON; None if it is not a challenge.

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    header = answer.headers.get("www-authenticate", "")
    for encoded in _CLAIMS.findall(header) if "bearer" in header.lower() else ():
        # Base64, of the URL's alphabet as well.
        try:
            digits = encoded.rstrip("=").translate(_URL_SAFE)
            claims = b64decode(digits + "=" * (-len(digits) % 4), validate=True)
            from_json(claims)
            return claims.decode()
        except ValueError:
            continue
    return None


def _layer(error: Exception) -> Layer:
    match error:
        case ClientAuthenticationError():
            return "token"
        case TimeoutError() | ServiceResponseTimeoutError():
            return "timeout"
        case ServiceRequestError() | aiohttp.ClientConnectionError():
            return "connect"
        case _:
            return "http"
