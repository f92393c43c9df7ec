"""What a user hands over: a URL, an ID, a response or a running poller becomes a post."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypedDict
from urllib.parse import unquote, urlsplit

from azure.core.polling import AsyncNoPolling, NoPolling

from opswatch.client.errors import RejectedError
from opswatch.client.row import OperationRow
from opswatch.core.errors import RefusedError
from opswatch.core.keys import NOTHING, Key, operation_from_url
from opswatch.core.texts import to_json
from opswatch.core.urls import is_resource_url, own_url

# In the order in which ARM's callers prefer them.
STATUS_HEADERS = ("azure-asyncoperation", "operation-location", "location")
_HINT = (
    "submit takes a status URL, an ARM path, an operation ID, a response with the header "
    "Azure-AsyncOperation or Location, or the poller of a begin_ method"
)
_BODY_POLLING = (
    "ARM has given no status URL for this operation: the SDK follows it by reading the resource "
    "itself, for which the app's role has no right. Follow it with the SDK (polling=True), or "
    "grant that right and submit the resource's URL"
)
_VERBS = {"PUT": "create", "PATCH": "update", "DELETE": "delete"}
_PROVIDER = re.compile(
    r"(?P<scope>.*)/providers/(?P<provider>[^/]+)(?P<rest>(?:/[^/]+)*)/?", re.IGNORECASE
)


class NoStatusUrlError(RejectedError):
    """ARM has given no status URL; the operation goes on, and only its resource shows how."""

    def __init__(self) -> None:
        super().__init__("NoStatusUrl", _BODY_POLLING)


class PollingOptions(TypedDict, total=False):
    """What a post can say of an operation whose request is known."""

    callback_url: str | None  # https, on port 443 or from 1024 on
    callback_on: Sequence[str] | None  # the ends that the callback gets, such as `Failed`; all
    kind: str | None  # the class whose durations are learned together; of the request, if known
    timeout: timedelta | str | None  # how long to watch: 30 s to 7 days; text in ISO 8601
    client_state: Any  # JSON up to 4 KB: comes back in the row and in callbacks


class PostOptions(PollingOptions, total=False):
    """What a post can say besides its operation."""

    resource_id: str | None  # that the operation works on; of the request, if known
    again: bool  # watch again what has ended as `Lost`, `TimedOut` or `Stopped`


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The values of `PostOptions`."""

    callback_url: str | None = None
    callback_on: Sequence[str] | None = None
    kind: str | None = None
    timeout: timedelta | str | None = None
    client_state: Any = None
    resource_id: str | None = None
    again: bool = False

    def body(self, operation: str) -> bytes:
        """Return the message that posts `operation`."""
        timeout = self.timeout
        if isinstance(timeout, timedelta):
            timeout = f"PT{math.ceil(timeout.total_seconds())}S"
        callback_on = [self.callback_on] if isinstance(self.callback_on, str) else self.callback_on
        posted = {
            "operation": operation,
            "callbackUrl": self.callback_url,
            "callbackOn": None if callback_on is None else list(callback_on),
            "kind": self.kind,
            "resourceId": self.resource_id,
            "timeout": timeout,
            "clientState": self.client_state,
            "again": self.again or None,
        }
        return to_json(
            {name: value for name, value in posted.items() if value is not None}
        ).encode()

    def about(self, request: "Request | None") -> "Options":
        """Return these options with the resource and the kind of a request, if they are absent."""
        if request is None:
            return self
        return replace(
            self,
            resource_id=self.resource_id or request.resource_id,
            kind=self.kind or request.kind,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request that has started an operation."""

    method: str
    url: str

    @property
    def resource_id(self) -> str | None:
        """The resource that is worked on; None if the URL names none."""
        return self._parts()[0]

    @property
    def resource_type(self) -> str | None:
        """The resource's type without its namespace."""
        return self._parts()[1]

    @property
    def kind(self) -> str | None:
        """The resource's type without its namespace, and what is done with it."""
        _, kind, verb = self._parts()
        return f"{kind}/{verb}" if kind and verb else None

    def _parts(self) -> tuple[str | None, str | None, str | None]:
        path = unquote(urlsplit(self.url).path.rstrip("/"))
        if not path.lower().startswith(("/subscriptions/", "/providers/")):
            return None, None, None
        match = _PROVIDER.fullmatch(path)
        # Of a resource group, or of a subscription itself, the path has pairs alone.
        names = (match["rest"] if match else path).split("/")[1:]
        verb = _VERBS.get(self.method.upper())
        if verb is None and len(names) % 2:
            verb = names.pop()
            path = path.rpartition("/")[0]
        if len(names) % 2 or not names:
            return None, None, None
        types = names[::2] if match else names[-2:-1]
        return path, "/".join(types), verb


def request_of(response: Any) -> Request | None:
    """Return the request of a response, if it says."""
    request = getattr(response, "request", None)
    method, url = getattr(request, "method", None), getattr(request, "url", None)
    return Request(method=str(method), url=str(url)) if method and url else None


def status_url(headers: Mapping[str, str]) -> str | None:
    """Return the URL at which a response says that its operation can be followed."""
    folded = {str(name).lower(): value for name, value in headers.items()}
    return next((str(folded[name]) for name in STATUS_HEADERS if folded.get(name)), None)


def key_of_url(url: str) -> Key:
    """Return the key of an operation's absolute URL; raise `RejectedError`."""
    parts = urlsplit(url)
    try:
        return operation_from_url(own_url(url, f"{parts.scheme}://{parts.netloc}")).key
    except RefusedError as refused:
        raise RejectedError(refused.reason, refused.detail) from refused


def operation_of(given: Any) -> tuple[str, Request | None]:
    """Return what to post of a text, a response or a running poller, and what has started it.

    Raise `ValueError` if it names no operation. A poller's continuation token is never read: before
    azure-core 1.38 it is a pickle, with the caller's token inside.
    """
    if isinstance(given, str):
        return given, None
    response = getattr(given, "http_response", given)  # of a pipeline's response
    headers = getattr(response, "headers", None)
    if headers is not None:
        url = status_url(headers)
        if url is None:
            raise NoStatusUrlError
        return url, request_of(response)
    if not hasattr(given, "polling_method"):
        raise ValueError(f"{type(given).__name__} names no operation: {_HINT}")
    method = given.polling_method()
    initial = getattr(getattr(method, "_initial_response", None), "http_response", None)
    request = request_of(initial)
    polling_url = getattr(getattr(method, "_operation", None), "get_polling_url", None)
    if polling_url is not None:
        url = str(polling_url())
        is_own = request is not None and url == request.url
        if is_own and is_resource_url(url):
            raise NoStatusUrlError
        return url, request
    url = status_url(initial.headers) if initial is not None else None
    if url is None:
        raise ValueError(
            f"{type(method).__name__} does not say where it polls: start the operation with "
            "polling=watcher.polling(), or with polling=False, and submit its status URL"
        )
    return url, request


def own_polling(given: Any) -> Any:
    """Return the polling method of a poller; None if it is no poller."""
    return given.polling_method() if hasattr(given, "polling_method") else None


def ended_row(given: Any) -> OperationRow | None:
    """Return the row of a poller's operation that has ended, with what the poller knows."""
    method = own_polling(given)
    if method is None:
        return None
    status = str(getattr(given.status(), "value", given.status())).capitalize()
    is_ended = given.done() or method.finished()
    if not is_ended or status not in ("Succeeded", "Failed", "Canceled"):
        return None
    try:
        key = key_of_url(operation_of(given)[0])
    except ValueError:  # it was never long-running, or does not name its status URL
        key = Key(NOTHING, NOTHING)
    else:
        # `polling=False`: for azure-core it has ended at once.
        if isinstance(method, NoPolling | AsyncNoPolling):
            return None
    return OperationRow(
        subscription_id=key.partition,
        key=key.row,
        state="finished",
        status=status,
        error_message="its poller's result() says why" if status != "Succeeded" else None,
    )
