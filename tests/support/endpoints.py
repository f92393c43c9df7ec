"""Receivers that verify every callback, record it, and answer as a behaviour decides."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from opswatch.core.webhook import Secret
from tests.support.receivers import HOST, Listener, answers, read_request


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one POST, and whether the receiver acts on the event."""

    status: int | None  # None: the connection is cut
    is_accepted: bool = False
    delay: float = 0.0  # seconds
    headers: dict[str, str] = field(default_factory=dict)


ACCEPT = Reply(204, is_accepted=True)


@dataclass(slots=True, kw_only=True)
class ReceivedPost:
    """One received POST, and how it was answered."""

    endpoint: str
    delivery_id: str
    attempt: int
    event: dict[str, Any] | None  # None: the signature is wrong
    at: float  # seconds since 1970
    reply: Reply | None = None  # None: there is none yet, or the sender ended before it

    @property
    def operation_id(self) -> str:
        return str(self.event["data"]["operationId"]) if self.event else ""

    @property
    def is_accepted(self) -> bool:
        return self.reply is not None and self.reply.is_accepted


Behaviour = Callable[[ReceivedPost, int], Reply]  # given how many POSTs of the event it answered


class Endpoint(Listener):
    """One host of callbacks, until `async with` ends."""

    def __init__(
        self, name: str, secret: Secret, behaviour: Behaviour = lambda _, __: ACCEPT
    ) -> None:
        super().__init__(self._answer)
        self.name, self.secret, self._behaviour = name, secret, behaviour
        self.posts: list[ReceivedPost] = []
        self.cut_off = 0  # POSTs whose sender ended before the answer

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of an app that calls it."""
        return {
            "OPSWATCH_CALLBACK_URL": self.url,
            "OPSWATCH_CALLBACK_SECRETS": self.secret.text,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
        }

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        event: dict[str, Any] | None = None
        with suppress(WebhookVerificationError):
            event = Webhook(self.secret.text).verify(request.body.decode(), request.headers)
        post = ReceivedPost(
            endpoint=self.name,
            delivery_id=request.headers["webhook-id"],
            attempt=int(request.headers["opswatch-attempt"]),
            event=event,
            at=time.time(),
        )
        known = [other for other in self.posts if other.delivery_id == post.delivery_id]
        self.posts.append(post)
        reply = self._behaviour(post, sum(other.reply is not None for other in known))
        if await _is_gone(reader, reply.delay):
            self.cut_off += 1
            return
        post.reply = reply
        if reply.status is None:
            writer.transport.abort()
        else:
            await answers(reply.status, b"", **reply.headers)(reader, writer)


async def _is_gone(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Return whether the sender ends the connection within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await reader.read()
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True
