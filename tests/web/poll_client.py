"""azure-core's pollers follow operations over HTTP: `python poll_client.py < requests`.

Runs in any environment that has azure-core and aiohttp. Reads JSON `{"url", "posts": {end: post}}`;
prints, for each way of polling and each end, how the poller ended.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import Request, urlopen

from azure.core import AsyncPipelineClient, PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.polling import AsyncLROPoller, LROPoller
from azure.core.polling.async_base_polling import AsyncLROBasePolling
from azure.core.polling.base_polling import LocationPolling, LROBasePolling
from azure.core.rest import HttpRequest

BY = ("operation-location", "location")


def algorithms(by: str) -> list[Any] | None:
    """Return how to poll; None leaves it to azure-core, which prefers Operation-Location."""
    return [LocationPolling()] if by == "location" else None


def row_of(response: Any) -> Any:
    return json.loads(response.http_response.text())


def outcome(poller: Any, get: Any) -> dict[str, Any]:
    """Return how a poller has ended, given what its `result` has returned or raised."""
    row = get if isinstance(get, dict) else None
    error = get if isinstance(get, HttpResponseError) else None
    if row is None and error is None:
        return {"status": poller.status(), "odd": repr(get)}
    return {
        "status": poller.status(),
        "row": row and row["status"],
        "code": error.error.code if error is not None and error.error else None,
    }


def poll(url: str, post: dict[str, Any], by: str) -> dict[str, Any]:
    client: Any = PipelineClient(url)
    request = HttpRequest("POST", f"{url}/operations", json=post)
    initial = client._pipeline.run(request)
    assert initial.http_response.status_code == 202, initial.http_response.text()
    poller: Any = LROPoller(
        client, initial, row_of, LROBasePolling(30, lro_algorithms=algorithms(by))
    )
    try:
        return outcome(poller, poller.result())
    except HttpResponseError as error:
        return outcome(poller, error)


async def poll_async(url: str, post: dict[str, Any], by: str) -> dict[str, Any]:
    made: Any = AsyncPipelineClient
    async with made(url) as client:
        pipeline = client._pipeline
        initial = await pipeline.run(HttpRequest("POST", f"{url}/operations", json=post))
        assert initial.http_response.status_code == 202, initial.http_response.text()
        method: Any = AsyncLROBasePolling(30, lro_algorithms=algorithms(by))
        poller: Any = AsyncLROPoller(client, initial, row_of, method)
        try:
            return outcome(poller, await poller.result())
        except HttpResponseError as error:
            return outcome(poller, error)


def stop(url: str, post: dict[str, Any]) -> None:
    """Register an operation and stop it."""
    headers = {"content-type": "application/json"}
    body = json.dumps(post).encode()
    with urlopen(Request(f"{url}/operations", body, headers)) as answer:  # noqa: S310 - ours
        row = json.load(answer)
    key = f"{row['subscriptionId']}/{row['key']}"
    with urlopen(Request(f"{url}/operations/{key}/stop", method="POST")) as answer:  # noqa: S310
        assert json.load(answer)["status"] == "Stopped"


async def main() -> None:
    asked = json.load(sys.stdin)
    url, posts = asked["url"], asked["posts"]
    loop = asyncio.get_running_loop()
    found: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(32) as threads:
        running = {
            (f"{kind} by {by}", end): (
                loop.run_in_executor(threads, poll, url, post, by)
                if kind == "sync"
                else asyncio.ensure_future(poll_async(url, post, by))
            )
            for kind in ("sync", "async")
            for by in BY
            for end, post in posts.items()
        }
        await asyncio.sleep(3)
        await loop.run_in_executor(threads, stop, url, posts["Stopped"])
        for (way, end), task in running.items():
            found.setdefault(way, {})[end] = await task
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
