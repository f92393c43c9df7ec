"""An ARM whose operations never end: `python -m benchmarks.polls.arm INTERVAL LEAST MOST`.

It asks for a poll every `INTERVAL` seconds, and knows how late each one is. Its answers take
`LEAST` to `MOST` seconds.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from tests.support.storage.http import Request, Response, serving

BEGIN_PATH, FIGURES_PATH = "/benchmark/begin", "/benchmark/figures"
_RUNNING = b'{"id": "/x", "name": "x", "status": "InProgress", "startTime": "2026-11-23T03:00:00Z"}'
_STARTED = b'{"properties": {"provisioningState": "Creating"}}'
_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass
class PolledArm:
    """Operations that run for ever, by the path of their status."""

    interval: int  # seconds, of each Retry-After
    latency: tuple[float, float] = (0.0, 0.0)
    clock: Callable[[], float] = time.monotonic
    polls: int = 0
    late: list[float] = field(default_factory=list)  # seconds after the Retry-After
    _due: dict[str, float] = field(default_factory=dict)
    _random: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - a simulation

    def answer(self, request: Request) -> Response:
        """Answer a poll, the start of an operation, or a question for the figures."""
        headers = {**_JSON, "Retry-After": str(self.interval)}
        match request.method, request.path:
            case "POST", "begin":
                self.polls, self.late = 0, []
                return Response(status=204, headers={})
            case "GET", "figures":
                return Response(status=200, headers=_JSON, body=msgspec.json.encode(self.figures()))
            case "PUT", path:
                url = f"http://{request.headers['host']}/subscriptions/{path}"
                headers["Azure-AsyncOperation"] = url
                return Response(status=201, headers=headers, body=_STARTED)
        now = self.clock()
        self.polls += 1
        if request.path in self._due:
            self.late.append(now - self._due[request.path])
        delay = self._random.uniform(*self.latency)
        self._due[request.path] = now + delay + self.interval
        return Response(status=200, headers=headers, body=_RUNNING, delay=delay)

    def figures(self) -> dict[str, Any]:
        """Return the polls since the last `begin`, and how late they were, in seconds."""
        late = sorted(self.late)
        shares = {"earliest": 0.0, "late_p50": 0.5, "late_p99": 0.99, "latest": 1.0}
        quantiles = {
            name: late[min(int(share * len(late)), len(late) - 1)] if late else 0.0
            for name, share in shares.items()
        }
        return {"polls": self.polls, **quantiles}


async def serve(interval: int, latency: tuple[float, float]) -> None:
    """Print the port of ARM, and serve until standard input ends."""
    async with serving(PolledArm(interval, latency).answer) as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), (float(sys.argv[2]), float(sys.argv[3]))))
