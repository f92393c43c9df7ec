"""Receivers that fail now and then, in every way that a sender may meet, and remember it all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from opswatch.local.demo.receiver import verify_callback

_LOOPBACK = "127.0.0.1"
_TAKEN, _GONE, _BUSY, _DOWN = 204, 410, 429, 503
_MOODS = ("takes", "is slow", "is busy", "is down", "breaks off", "takes and breaks off")
_WEIGHTS = (60, 5, 8, 12, 10, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One POST: what came, and whether the receiver has acted on it."""

    door: str
    message_id: str
    event: dict[str, Any] | None  # None: the signature does not hold
    is_taken: bool
    at: datetime

    @property
    def operation_id(self) -> str:
        return str(self.event["data"]["operationId"]) if self.event else ""


class Receiver:
    """One host of callbacks with one door, until `async with` ends.

    The moody one takes most events; the one named `gone` takes none. Calm, it takes everything.
    """

    def __init__(self, door: str, secret: str, rng: Random, *, is_moody: bool = False) -> None:
        self.door = door
        self.posts: list[Post] = []
        self.is_moody = is_moody
        self._webhook = Webhook(secret)
        self._rng = rng
        self._runner: web.AppRunner
        self._site: web.TCPSite
        self._port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post(f"/{self.door}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{_LOOPBACK}:{self._port}/{self.door}"

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Refuse connections for as long as the block lasts."""
        await self._site.stop()
        try:
            yield
        finally:
            await self._open()

    async def _open(self) -> None:
        self._site = web.TCPSite(self._runner, _LOOPBACK, self._port)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def _receive(self, request: web.Request) -> web.Response:
        mood = self._mood()
        self._remember(await request.text(), dict(request.headers), mood)
        match mood:
            case "is gone":
                return web.Response(status=_GONE)
            case "is busy":
                return web.Response(status=_BUSY, headers={"Retry-After": "1"})
            case "is down":
                return web.Response(status=_DOWN)
            case "is slow":
                await asyncio.sleep(self._rng.uniform(1, 5))
            case "breaks off" | "takes and breaks off" if request.transport:
                request.transport.abort()
        return web.Response(status=_TAKEN)

    def _mood(self) -> str:
        if self.door == "gone":
            return "is gone"
        return self._rng.choices(_MOODS, _WEIGHTS)[0] if self.is_moody else "takes"

    def _remember(self, body: str, headers: dict[str, str], mood: str) -> None:
        self.posts.append(
            Post(
                door=self.door,
                message_id=headers["webhook-id"],
                event=verify_callback(self._webhook, body, headers),
                is_taken=mood in ("takes", "is slow", "takes and breaks off"),
                at=datetime.now(UTC),
            )
        )
