"""Responses and clients of the SDKs as values, and a source that a test scripts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineResponse
from azure.core.rest import HttpRequest
from azure.core.utils import case_insensitive_dict

from opswatch.client.calls import ASYNC_TIMING, Timing
from opswatch.client.errors import RejectedError
from opswatch.client.row import OperationRow, row_from_json
from opswatch.client.source import Posted
from opswatch.core.intake import Intake
from opswatch.core.keys import Key

ARM = "https://management.azure.com"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Cache"
RESOURCE = f"{SCOPE}/redisEnterprise/c"
RESOURCE_URL = f"{ARM}{RESOURCE}?api-version=2025-07-01"
ID = "6432a8f9-0fe6-4339-9303-772c92f35d02"
STATUS_PATH = (
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
    f"/operationsStatus/{ID}"
)
SIGNED = f"{ARM}{STATUS_PATH}?api-version=2024-10-01&t=9&c=cert&s=a%2Bb&h=hash"
LOCATION = SIGNED.replace("operationsStatus", "operationResults")
KEY = Key(SUBSCRIPTION, f"microsoft.cache~westus~operationsstatus~{ID}")
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@dataclass
class Response:
    """A response of azure-core, as far as pollers read it."""

    status_code: int = 202
    headers: Any = field(default_factory=dict)
    body: Any = None
    request: Any = None
    reason: str = "as the test says"
    content_type: str = "application/json"

    def __post_init__(self) -> None:
        self.headers = case_insensitive_dict(self.headers)

    @property
    def content(self) -> bytes:
        return self.text().encode()

    def text(self, *_: object) -> str:
        return "" if self.body is None else json.dumps(self.body)

    def json(self) -> Any:
        return json.loads(self.text())


def started(method: str = "PUT", url: str = RESOURCE_URL, **response: Any) -> Any:
    """Return the initial response of a request, as a begin_ method has it."""
    request = HttpRequest(method, url)
    answer = Response(request=request, **response)
    return PipelineResponse(request, answer, {})  # type: ignore[arg-type]


class Sdk:
    """The pipeline client of an SDK: `send_request` answers as scripted, and is recorded."""

    def __init__(self, answer: Callable[[str], Response], *, is_async: bool = True) -> None:
        self._answer, self._is_async = answer, is_async
        self.requested: list[str] = []

    def send_request(self, request: HttpRequest, **_: object) -> Any:
        self.requested.append(request.url)
        answer = self._answer(request.url)
        answer.request = request
        if not self._is_async:
            return answer

        async def respond() -> Response:
            return answer

        return respond()


def row(**columns: Any) -> OperationRow:
    names = {"subscriptionId": KEY.partition, "key": KEY.row, "state": "watching"}
    return row_from_json({**names, **columns})


def finished(status: str = "Succeeded", **columns: Any) -> OperationRow:
    return row(state="finished", status=status, **columns)


Read = OperationRow | AzureError | None


class ScriptedSource:
    """Answers reads in their order, and the last one for good; an error is raised."""

    intake: Intake | None = None

    def __init__(self, *reads: Read, rejected: RejectedError | None = None) -> None:
        self._reads: Iterator[Read] = iter(reads)
        self._last: Read = None
        self._rejected = rejected
        self.read_count = 0
        self.bodies: list[bytes] = []

    async def post(self, body: bytes, now: datetime) -> Posted:
        self.bodies.append(body)
        return Posted(key=KEY, at=now, digests=("digest",))

    async def read(self, _: Key) -> OperationRow | None:
        self.read_count += 1
        self._last = next(self._reads, self._last)
        if isinstance(self._last, AzureError):
            raise self._last
        return self._last

    async def rejection(self, _: Posted) -> RejectedError | None:
        return self._rejected

    async def stop(self, _: Key) -> OperationRow:
        return finished("Stopped")

    async def redeliver(self, _: Key, delivery_id: str | None) -> list[dict[str, Any]]:
        return [{"deliveryId": delivery_id}]

    async def close(self) -> None:
        pass


class Clock:
    """Time that passes by sleeping alone; `slept` has how long each time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def timing(self) -> Timing:
        return replace(
            ASYNC_TIMING,
            now=lambda: NOW,
            monotonic=lambda: self.seconds,
            sleep=self.sleep,
        )
