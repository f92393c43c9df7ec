"""ARM over HTTP: a GET with our token, which goes to the configured endpoint and nowhere else."""

import asyncio
import zlib
from datetime import timedelta
from typing import Any

import aiohttp
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline import AsyncPipeline, PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy, UserAgentPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from yarl import URL

from opswatch.adapters.account import environment_proxies, plain_session
from opswatch.core.model import HttpResponse, Layer, NoAnswer
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line
from opswatch.core.urls import RefusedError, own_url

_TIMEOUT = timedelta(seconds=30)
# Not deflate: azure-core takes it without the wrapper that the standard asks for.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip"}
_MAX_BODY = 4 * 1024 * 1024  # bytes; a status is some kilobytes


class HttpArm:
    """ARM behind a pipeline without retries and redirects: the queue waits, and nothing strays."""

    def __init__(
        self,
        endpoint: str,
        scope: str,
        credential: AsyncTokenCredential,
        timeout: timedelta = _TIMEOUT,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout.total_seconds()
        self._session = plain_session()
        self._options: dict[str, Any] = {
            "stream": True,
            "enforce_https": not endpoint.startswith("http:"),  # a loopback endpoint may be plain
            "proxies": environment_proxies(endpoint),
        }
        policies: list[Any] = [
            UserAgentPolicy(base_user_agent="opswatch"),
            AsyncARMChallengeAuthenticationPolicy(credential, scope),
            _ExactUrlPolicy(),
        ]
        transport = AioHttpTransport(session=self._session, session_owner=False)
        self._pipeline: AsyncPipeline[HttpRequest, AsyncHttpResponse] = AsyncPipeline(
            transport, policies
        )

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        """GET a status URL with our token; whatever happens is an answer or none."""
        try:
            own = own_url(url, self._endpoint)
        except RefusedError as refused:
            return NoAnswer("refused", refused.detail)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._get(own)
        # TimeoutError is an OSError; azure-core lets out what zlib says of a body that is not gzip.
        except (AzureError, aiohttp.ClientError, OSError, zlib.error) as error:
            return NoAnswer(_layer(error), one_line(redact_text(str(error) or repr(error))))

    async def _get(self, url: str) -> HttpResponse | NoAnswer:
        request = HttpRequest("GET", url, headers=_HEADERS)
        response = (await self._pipeline.run(request, **self._options)).http_response
        try:
            body = bytearray()
            async for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_BODY:
                    return NoAnswer("http", f"a body of more than {_MAX_BODY} bytes")
        finally:
            await response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status_code, headers, bytes(body))

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


class _ExactUrlPolicy(SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Sends the URL byte for byte: aiohttp would quote a text anew, and break its signature."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        request.http_request.url = URL(str(request.http_request.url), encoded=True)  # type: ignore[assignment]  # what aiohttp takes


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
