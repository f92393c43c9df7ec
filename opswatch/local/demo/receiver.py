"""A receiver of callbacks that checks every one with the public `standardwebhooks` package."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_bytes
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from opswatch.core.webhook import Secret

_FAILURES_OF_FLAKY = 2
_TAKEN = 204
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    """One POST: where it came to, what it said, and whether its signature holds."""

    door: str
    message_id: str
    answered: int
    event: dict[str, Any] | None  # None: the signature does not hold
    at: datetime


def verified(webhook: Webhook, body: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the event of a callback; None where its signature does not hold."""
    try:
        event: dict[str, Any] = webhook.verify(body, dict(headers))
    except WebhookVerificationError:
        return None
    return event


class Receiver:
    """Three doors: `/hook` takes everything, `/flaky` fails twice first, `/gone` has retired."""

    def __init__(self) -> None:
        self.secret = Secret(token_bytes(32))
        self._webhook = Webhook(self.secret.text)
        self._seen: Counter[str] = Counter()
        self.received: list[Received] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{door}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOOPBACK, 0).start()
        self.url = f"http://{_LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    @property
    def environment(self) -> dict[str, str]:
        """The settings of an app that calls it."""
        return {
            "OPSWATCH_CALLBACK_URL": f"{self.url}/hook",
            "OPSWATCH_CALLBACK_SECRETS": self.secret.text,
            "OPSWATCH_CALLBACK_NETWORKS": f"{_LOOPBACK}/32",
        }

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner:
            await self._runner.cleanup()

    def taken(self, door: str, operation_id: str) -> dict[str, dict[str, Any]]:
        """Return the events about an operation that `door` took, by their ids."""
        return {
            received.message_id: received.event
            for received in self.received
            if received.door == door
            and received.answered == _TAKEN
            and received.event
            and received.event["data"]["operationId"] == operation_id
        }

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        message_id = request.headers["webhook-id"]
        self._seen[message_id] += 1
        event = verified(self._webhook, body, request.headers)
        answer = self._answer(request.match_info["door"], message_id) if event else 400
        now = datetime.now(UTC)
        self.received.append(Received(request.match_info["door"], message_id, answer, event, now))
        return web.Response(status=answer)

    def _answer(self, door: str, message_id: str) -> int:
        if door == "gone":
            return 410
        is_failing = door == "flaky" and self._seen[message_id] <= _FAILURES_OF_FLAKY
        return 503 if is_failing else _TAKEN
