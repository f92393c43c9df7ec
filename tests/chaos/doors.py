"""Receivers that take an event when they are told to and not before, and remember every POST."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from opswatch.local.demo.receiver import verify_callback

_LOOPBACK = "127.0.0.1"
_TAKEN, _NOT_YET, _DOWN, _CUT = 204, 404, 500, 0


@dataclass(frozen=True, slots=True)
class Manner:
    """How the first POSTs of each event are answered, and how long an answer takes at most."""

    first: tuple[int, ...] = ()
    seconds: float = 2.0


MANNERS = (
    Manner(),
    Manner(first=(_DOWN, _DOWN)),
    Manner(first=(_CUT, _CUT)),
    Manner(seconds=5.0),
)


@dataclass(slots=True, kw_only=True)
class Knock:
    """One POST as it came, and how it was answered."""

    delivery_id: str
    attempt: int  # its number
    event: dict[str, Any] | None  # None: the signature does not hold
    at: float  # of the monotonic clock
    answer: int | None = None  # None: the sender was gone, or there is none yet

    @property
    def operation_id(self) -> str:
        return str(self.event["data"]["operationId"]) if self.event else ""

    @property
    def is_taken(self) -> bool:
        return self.answer == _TAKEN


@dataclass(slots=True)
class Door:
    """One host of callbacks, until `async with` ends."""

    manner: Manner
    webhook: Webhook
    rng: Random
    is_open: Callable[[str], bool]  # for the event of an operation
    knocks: list[Knock] = field(default_factory=list)
    cut_off: int = 0  # POSTs whose sender ended before the answer
    _runner: web.AppRunner = field(init=False)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOOPBACK, 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{_LOOPBACK}:{self._runner.addresses[0][1]}/hook"

    async def _receive(self, request: web.Request) -> web.Response:
        knock = self._remembered(await request.text(), dict(request.headers))
        try:
            await asyncio.sleep(self.rng.uniform(0, self.manner.seconds))
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        knock.answer = self._answer(knock)
        if knock.answer == _CUT and request.transport:
            request.transport.abort()
        return web.Response(status=knock.answer or _TAKEN)

    def _remembered(self, body: str, headers: dict[str, str]) -> Knock:
        knock = Knock(
            delivery_id=headers["webhook-id"],
            attempt=int(headers["opswatch-attempt"]),
            event=verify_callback(self.webhook, body, headers),
            at=time.monotonic(),
        )
        self.knocks.append(knock)
        return knock

    def _answer(self, knock: Knock) -> int:
        answered = sum(
            one.delivery_id == knock.delivery_id and one.answer is not None for one in self.knocks
        )
        if answered < len(self.manner.first):
            return self.manner.first[answered]
        return _TAKEN if self.is_open(knock.operation_id) else _NOT_YET
