"""opswatch as the polling method of azure-core: begin_ methods hand their operation over.

Only the public API of azure-core is used: `PollingMethod` and `AsyncPollingMethod`, `send_request`
of the client, and `PipelineResponse`.
"""

import asyncio
from concurrent.futures import Future
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import ContentDecodePolicy
from azure.core.polling import AsyncPollingMethod, PollingMethod
from azure.core.rest import HttpRequest

from opswatch.client.calls import run_sync, settle
from opswatch.client.connection import Connection
from opswatch.client.errors import OperationCanceledError, OperationFailedError
from opswatch.client.posts import (
    NoStatusUrlError,
    Options,
    Request,
    key_of_url,
    request_of,
    status_url,
)
from opswatch.client.row import OperationRow
from opswatch.client.source import Posted
from opswatch.client.waiting import not_found
from opswatch.core.errors import OpswatchError
from opswatch.core.keys import Key, key_from_text
from opswatch.core.urls import with_api_version

# Where the final result is read, as OpenAPI documents name it (`final-state-via`): a polling object
# of a user's own does not know what the SDK's package knows of the operation.
FinalStateVia = Literal["azure-async-operation", "operation-location", "location", "original-uri"]
FINAL_STATES = get_args(FinalStateVia)
_STATUS = frozenset({"azure-async-operation", "operation-location"})
_RUNNING, _SUCCEEDED = "InProgress", "Succeeded"
_ACCEPTED, _CREATED = 202, 201
_GOOD = frozenset({200, 201, 202, 204})
_BODY_POLLED = frozenset({"PUT", "PATCH"})


class _KnownByKey:
    """In place of the initial response of an operation that another process has started."""

    def __init__(self, key: Key) -> None:
        self.key = key


class DurablePolling:
    """What both polling methods share; one of them serves one operation."""

    def __init__(
        self, connection: Connection, options: Options, final_state_via: FinalStateVia | None
    ) -> None:
        if final_state_via is not None and final_state_via not in FINAL_STATES:
            raise ValueError(f"final_state_via is none of {', '.join(FINAL_STATES)}")
        connection.check(options)
        self.connection = connection
        self.posted: Future[Posted] = Future()
        self._options = options
        self._final_state_via = final_state_via
        self._key: Key | None = None
        self._url: str | None = None  # at which ARM reports the operation
        self._location: str | None = None
        self._request: Request | None = None
        self._client: Any = None
        self._response: Any = None  # what is deserialized in the end
        self._callback: Any = None
        self._status = _RUNNING
        self._is_done = False

    @property
    def key(self) -> Key:
        """The key of the operation; raise `OpswatchError` if there is none."""
        if self._client is None:
            raise OpswatchError("no operation was begun with this polling object")
        if self._key is None:
            raise OpswatchError("the operation had ended when it was started: nothing is watched")
        return self._key

    @property
    def is_started(self) -> bool:
        """Whether it was given to a poller, whose operation is, or will be, posted."""
        return self._key is not None

    @property
    def is_ended_at_start(self) -> bool:
        """Whether ARM's first answer was the end: then nothing is posted."""
        return self._client is not None and self._key is None

    def initialize(self, client: Any, initial_response: Any, deserialization_callback: Any) -> None:
        """Take the operation over from the SDK; no request is made here."""
        if self._client is not None:
            raise ValueError("a polling object serves one operation: call watcher.polling() again")
        self._client = client
        self._callback = deserialization_callback
        if isinstance(initial_response, _KnownByKey):
            self._key = initial_response.key
            return
        self._response = initial_response
        response = initial_response.http_response
        if response.status_code not in _GOOD:
            raise HttpResponseError(response=response)
        self._request = request_of(response)
        self._url = status_url(response.headers)
        self._location = response.headers.get("location")
        if self._url is None:
            self._status = _status_without_url(response, self._request)
            self._is_done = True
        else:
            self._key = key_of_url(self._url)
            self._options = self._options.about(self._request)

    def status(self) -> str:
        """Return ARM's word as last seen, or how the watch has ended."""
        return self._status

    def finished(self) -> bool:
        """Return whether the operation is known to have ended, and its result was read."""
        return self._is_done

    def resource(self) -> Any:
        """Return the result, deserialized as the SDK does it; None if it is empty."""
        if self._status != _SUCCEEDED:
            self._raise_failed_at_start()
        if self._response is None or not _has_body(self._response.http_response):
            return None
        return self._callback(self._response)

    def get_continuation_token(self) -> str:
        """Return `SUBSCRIPTION/KEY`: it contains no secret, and any process may go on with it."""
        return str(self.key)

    @classmethod
    def from_continuation_token(
        cls, continuation_token: str, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        """Return what `initialize` needs to wait for an operation that is watched already."""
        key = key_from_text(continuation_token)
        if key is None:
            raise ValueError(
                "not a token of opswatch, which is SUBSCRIPTION/KEY: a token of the SDK's own "
                "pollers goes with polling=True"
            )
        return (
            kwargs["client"],
            _KnownByKey(key),
            kwargs["deserialization_callback"],
        )

    async def url(self) -> str:
        """Return a URL of the operation; if its key alone is known, that of its row."""
        if self._url is not None:
            return self._url
        return (await self.connection.read(self.key)).url or ""

    async def post(self) -> None:
        """Post the operation; if its key alone is known, only to add a callback."""
        connection, options = self.connection, self._options
        posted = Posted(key=self.key, at=connection.timing.now())
        try:
            if self._url is not None or options.callback_url is not None:
                posted = await connection.post(await self.url(), options, connection.patience)
        except BaseException as error:
            self.posted.set_exception(error)
            raise
        self.posted.set_result(posted)

    async def follow(self) -> None:
        """Wait for the end, raise it if it is no success, and read the result."""
        if self._is_done:
            return
        watched = self.connection.watched(self.key, self.posted.result())
        last: OperationRow | None = None
        async for row in watched.looks(None):
            last = row
            self._status = row.status or _RUNNING
        if last is None:
            raise not_found(self.key)
        last.raise_unless_succeeded()
        url = self._final_url(last)
        if url is not None:
            self._response = await self._get(url)
        self._is_done = True

    def _final_url(self, row: OperationRow) -> str | None:
        """Return where the SDK would read the result, or None if there is nothing to read.

        As `LongRunningOperation.get_final_get_url` of azure-core has it. Of an operation that
        another process has started, the row names the resource and what was done with it.
        """
        url = self._url or (row.url and with_api_version(row.url, row.api_version))
        if self._request is not None:
            method: str | None = self._request.method.upper()
            resource: str | None = self._request.url
        else:
            method, resource = _method_of(row), _resource_url(row)
        match self._final_state_via:
            case "original-uri":
                return resource
            case "location" if self._location:
                return self._location
            case via if via in _STATUS and method == "POST":
                return url
        if method in _BODY_POLLED:
            return resource
        if method == "DELETE":
            return None
        if method == "POST":
            return self._location or url
        raise OpswatchError(
            f"the row of {row.id} does not say where the result is read (its kind is "
            f"{row.kind!r}): pass final_state_via, one of {', '.join(FINAL_STATES)}"
        )

    async def _get(self, url: str) -> PipelineResponse[Any, Any]:
        """GET the result with the SDK's own client: as its user, through its policies."""
        request = HttpRequest("GET", url)
        response = await settle(self._client.send_request(request))
        if response.status_code not in _GOOD:
            raise HttpResponseError(response=response)
        context: Any = {}
        if _has_body(response):
            name = ContentDecodePolicy.CONTEXT_NAME  # where older packages expect the value
            context[name] = ContentDecodePolicy.deserialize_from_http_generics(response)
        return PipelineResponse(request, response, context)

    def _raise_failed_at_start(self) -> None:
        """Raise if the first answer was the end, and no success."""
        if not self.is_ended_at_start:
            return
        kind = OperationCanceledError if self._status == "Canceled" else OperationFailedError
        raise kind(self._status, f"ARM's first answer says that it is {self._status}")


class SyncDurablePolling(DurablePolling, PollingMethod[Any]):
    """opswatch as the polling method of an `LROPoller`, which runs it in a thread."""

    def run(self) -> None:
        """Post the operation and wait for its end."""
        run_sync(self.post())
        run_sync(self.follow())


class AsyncDurablePolling(DurablePolling, AsyncPollingMethod[Any]):
    """opswatch as the polling method of an `AsyncLROPoller`.

    Such a poller runs only while it is awaited. So a separate task posts the operation:
    it is watched even if the poller is dropped.
    """

    _task: asyncio.Task[None] | None = None

    def initialize(self, client: Any, initial_response: Any, deserialization_callback: Any) -> None:
        """Take the operation over from the SDK, and begin to post it."""
        super().initialize(client, initial_response, deserialization_callback)
        if not self.finished():
            self._task = asyncio.get_running_loop().create_task(self.post())

    async def run(self) -> None:
        """Wait until the operation is posted, and then for its end."""
        await self.wait_posted()
        await self.follow()

    async def wait_posted(self) -> None:
        """Wait until the operation is posted; raise if it cannot be."""
        if self._task is not None:
            await asyncio.shield(self._task)


def _has_body(response: Any) -> bool:
    return bool(response.text().strip())


def _status_without_url(response: Any, request: Request | None) -> str:
    """Return how an operation has ended whose first answer names no status URL.

    As the SDK's `BodyContentPolling` and `StatusCheckPolling` read it; raise `NoStatusUrlError` if
    it has not ended.
    """
    if request is None or request.method.upper() not in _BODY_POLLED:
        return _SUCCEEDED
    state: Any = None
    if _has_body(response):
        body = ContentDecodePolicy.deserialize_from_http_generics(response)
        properties = body.get("properties") if isinstance(body, dict) else None
        state = properties.get("provisioningState") if isinstance(properties, dict) else None
    if not state and response.status_code not in (_ACCEPTED, _CREATED):
        return _SUCCEEDED
    ended = str(state).capitalize()
    if ended in ("Succeeded", "Failed", "Canceled") and response.status_code != _ACCEPTED:
        return ended
    raise NoStatusUrlError


def _method_of(row: OperationRow) -> str | None:
    """Return with what an operation was started, from the kind that the client gave it."""
    known = Request(method="GET", url=row.resource_id or "").resource_type
    kind, _, verb = (row.kind or "").rpartition("/")
    if not known or kind.lower() != known.lower():
        return None
    return {"create": "PUT", "update": "PATCH", "delete": "DELETE"}.get(verb.lower(), "POST")


def _resource_url(row: OperationRow) -> str | None:
    if not row.url or not row.resource_id:
        return None
    parts = urlsplit(row.url)
    return with_api_version(f"{parts.scheme}://{parts.netloc}{row.resource_id}", row.api_version)
