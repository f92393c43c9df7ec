"""A receiver of callbacks that verifies them with the public `standardwebhooks` package."""

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

_FLAKY_FAILURES = 2
_ACCEPTED = 204
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ReceivedPost:
    """One POST to the receiver."""

    endpoint: str
    message_id: str
    status: int  # of the response
    event: dict[str, Any] | None  # None: the signature is invalid
    at: datetime


def verify_callback(
    webhook: Webhook, body: str, headers: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the event of a callback, or None if its signature is invalid."""
    try:
        event: dict[str, Any] = webhook.verify(body, dict(headers))
    except WebhookVerificationError:
        return None
    return event


class Receiver:
    """Three endpoints: `/hook` accepts, `/flaky` fails twice and then accepts, `/gone` is gone."""

    def __init__(self) -> None:
        self.secret = Secret(token_bytes(32))
        self._webhook = Webhook(self.secret.text)
        self._posts_by_id: Counter[str] = Counter()
        self.received: list[ReceivedPost] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{endpoint}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOOPBACK, 0).start()
        self.url = f"http://{_LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner:
            await self._runner.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """Settings of an app that sends its callbacks here."""
        return {
            "OPSWATCH_CALLBACK_URL": f"{self.url}/hook",
            "OPSWATCH_CALLBACK_SECRETS": self.secret.text,
            "OPSWATCH_CALLBACK_NETWORKS": f"{_LOOPBACK}/32",
        }

    def accepted_events(self, endpoint: str, operation_id: str) -> dict[str, dict[str, Any]]:
        """Return the events about an operation that `endpoint` accepted, by message id."""
        return {
            post.message_id: post.event
            for post in self.received
            if post.endpoint == endpoint
            and post.status == _ACCEPTED
            and post.event
            and post.event["data"]["operationId"] == operation_id
        }

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        endpoint, message_id = request.match_info["endpoint"], request.headers["webhook-id"]
        self._posts_by_id[message_id] += 1
        event = verify_callback(self._webhook, body, request.headers)
        if event is None:
            status = 400
        elif endpoint == "gone":
            status = 410
        elif endpoint == "flaky" and self._posts_by_id[message_id] <= _FLAKY_FAILURES:
            status = 503
        else:
            status = _ACCEPTED
        post = ReceivedPost(endpoint, message_id, status, event, datetime.now(UTC))
        self.received.append(post)
        return web.Response(status=status)
