"""A clock for simulated time, and a simulator with that clock and HTTP clients."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession
from yarl import URL

from opswatch.local.simulator import Limit, Simulator


class ManualClock:
    """`clock()` reads it; `advance` and `sleep` move it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Replace `asyncio.sleep`: time passes, and the call returns at once."""
        self.advance(seconds)


class Harness(Simulator):
    """A simulator with a manual clock, a client with a valid token, and one without a token."""

    def __init__(self, limit: Limit | None = None) -> None:
        self.clock = ManualClock()
        super().__init__(seed=1, clock=self.clock, sleep=self.clock.sleep, limit=limit)
        self._sessions = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        token = self.identity.issue("https://management.azure.com").text
        headers = {"Authorization": f"Bearer {token}"}
        self.client = await self._sessions.enter_async_context(ClientSession(headers=headers))
        self.anonymous = await self._sessions.enter_async_context(ClientSession())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._sessions.aclose()
        await super().__aexit__(kind, error, trace)

    async def get(
        self, url: str, client: ClientSession | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Request exactly `url`, without following redirects; return status, JSON, headers."""
        exact = URL(url, encoded=True)
        async with (client or self.client).get(exact, allow_redirects=False) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else None, response.headers

    async def control(self, path: str, body: object = None) -> tuple[int, Any]:
        """GET a control route, or POST `body` to it, without a token; return status and JSON."""
        method, url = "GET" if body is None else "POST", f"{self.endpoint}/simulator/{path}"
        async with self.anonymous.request(method, url, json=body) as response:
            return response.status, await response.json()
