"""An ARM whose operations never end, as a program: `python -m benchmarks.polls.arm`."""

import asyncio
import sys

from tests.support.storage.http import Request, Response, serving

_COUNT = "count"
COUNT_PATH = f"/polls/{_COUNT}"  # of which a request's path leaves out the first segment
_RUNNING = b'{"id": "/x", "name": "x", "status": "InProgress", "startTime": "2026-11-23T03:00:00Z"}'
_STARTED = b'{"properties": {"provisioningState": "Creating"}}'
_JSON = {"Content-Type": "application/json; charset=utf-8"}


async def serve() -> None:
    """Print the port of ARM, and serve until standard input ends."""
    polls = 0

    def answer(request: Request) -> Response:
        nonlocal polls
        if request.method == "PUT":
            url = f"http://{request.headers['host']}/subscriptions/{request.path}"
            return Response(
                status=201, headers={**_JSON, "Azure-AsyncOperation": url}, body=_STARTED
            )
        if request.path == _COUNT:
            return Response(status=200, headers={}, body=str(polls).encode())
        polls += 1
        return Response(status=200, headers={**_JSON, "Retry-After": "1"}, body=_RUNNING)

    async with serving(answer) as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
