"""The app's HTTP API as a source.

The pipeline of azure-core carries the requests: it is there in both faces, with its transports and
proxies, and its errors are the ones of the SDKs, which users catch. It has no retries here, because
waits have their own.
"""

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from azure.core import AsyncPipelineClient, PipelineClient
from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.pipeline.policies import ProxyPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest

from opswatch.api import api_base
from opswatch.client.calls import settle
from opswatch.client.errors import NotAllowedError, OperationNotFoundError, RejectedError
from opswatch.client.row import OperationRow, row_from_json
from opswatch.client.source import Posted
from opswatch.core.callback_policy import is_loopback_host
from opswatch.core.intake import Intake
from opswatch.core.keys import Key

_CONNECTING, _READING = 5, 30  # seconds
_READ, _WRITE = "read", "write"  # the functions, each with its key


class HttpSource:
    """The HTTP API of one app; `keys` are those of its functions."""

    intake: Intake | None = None

    def __init__(self, url: str, client: Any, keys: dict[str, str | None]) -> None:
        self._url = url
        self._client = client
        self._keys = keys

    async def post(self, body: bytes, now: datetime) -> Posted:
        """Register an operation; the app answers at once whether it can."""
        row = await self._call("POST", "operations", body)
        return Posted(key=Key(row["subscriptionId"], row["key"]), at=now)

    async def read(self, key: Key) -> OperationRow | None:
        """Return the operation, or None if it is unknown."""
        try:
            return row_from_json(await self._call("GET", _path(key)))
        except OperationNotFoundError:
            return None

    async def rejection(self, posted: Posted) -> RejectedError | None:  # noqa: ARG002 - the source's
        """Return None: the answer to a post has said so."""
        return None

    async def stop(self, key: Key) -> OperationRow:
        """Stop a watch; if it has ended otherwise, return how."""
        try:
            return row_from_json(await self._call("POST", f"{_path(key)}/stop"))
        except HttpResponseError as error:
            if error.status_code != 409:  # noqa: PLR2004 - Conflict: it has ended
                raise
            return row_from_json(await self._call("GET", _path(key)))

    async def redeliver(self, key: Key, delivery_id: str | None) -> list[dict[str, Any]]:
        """Send the deliveries that have not arrived, or the one with this ID."""
        query = f"?delivery={quote(delivery_id, safe='')}" if delivery_id else ""
        answer = await self._call("POST", f"{_path(key)}/redeliver{query}")
        sent: list[dict[str, Any]] = answer["value"]
        return sent

    async def close(self) -> None:
        """Close the connections."""
        await settle(self._client.close())

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        function = _READ if method == "GET" else _WRITE
        headers = {"accept": "application/json", "x-functions-key": self._keys[function]}
        if body is not None:
            headers["content-type"] = "application/json"
        named = {name: value for name, value in headers.items() if value}
        request = HttpRequest(method, f"{self._url}/{path}", headers=named, content=body)
        response = await settle(self._client.send_request(request))
        if response.status_code in (401, 403):
            raise NotAllowedError(
                f"the app has answered {response.status_code}: {method} needs a key of its "
                f"function {function!r} (or the app is stopped)"
            )
        try:
            answer = response.json()
        except ValueError:
            answer = None
        is_good = response.status_code < 300  # noqa: PLR2004 - the app redirects nowhere
        if is_good and isinstance(answer, dict):
            return answer
        problem = answer if isinstance(answer, dict) else {}
        code, detail = problem.get("code"), problem.get("detail")
        if response.status_code == 400:  # noqa: PLR2004 - Bad Request
            raise RejectedError(str(code), str(detail))
        if code in ("OperationNotFound", "DeliveryNotFound"):
            raise OperationNotFoundError(str(detail))
        if is_good or response.status_code == 404:  # noqa: PLR2004 - Not Found, and no problem
            message = f"{self._url} does not answer as opswatch does: is it the app's address?"
            raise DecodeError(message=message, response=response)
        raise HttpResponseError(response=response)


def open_http(url: str, key: str | None, write_key: str | None, *, is_async: bool) -> HttpSource:
    """Return the source; no request is made. Raise `ValueError` if `url` is no app's."""
    try:
        base = api_base(url)
    except ValueError as error:
        raise ValueError(f"the app's address must be {error}; keys go in `key`") from error
    is_local = is_loopback_host(urlsplit(base).hostname or "")
    options: dict[str, Any] = {
        "policies": [UserAgentPolicy(base_user_agent="opswatch"), ProxyPolicy()],
        "connection_timeout": _CONNECTING,
        "read_timeout": _READING,
        "use_env_settings": not is_local,  # or a proxy would get what is for this machine
    }
    client: Any = (
        AsyncPipelineClient(base, **options) if is_async else PipelineClient(base, **options)
    )
    return HttpSource(base, client, {_READ: key, _WRITE: write_key or key})


def _path(key: Key) -> str:
    return f"operations/{quote(key.partition, safe='')}/{quote(key.row, safe='~')}"
