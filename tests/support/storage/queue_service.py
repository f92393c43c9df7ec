"""The REST protocol of Queue Storage.

https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
"""

import re
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from xml.etree.ElementTree import ParseError, fromstring
from xml.sax.saxutils import escape

from tests.support.clock import Clock
from tests.support.storage.errors import RefusedError
from tests.support.storage.http import Request, Response
from tests.support.storage.queues import Message, MessageQueue

_XML = '<?xml version="1.0" encoding="utf-8"?>'
_WEEK = 7 * 24 * 3600
_MOST_BYTES = 64 * 1024
_MOST_MESSAGES = 32
_LEASE = 30  # seconds, by default


class QueueService:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.queues: dict[str, MessageQueue] = {}

    def answer(self, request: Request) -> Response:
        """Answer a request; errors are answers too."""
        try:
            return self._answer(request)
        except RefusedError as error:
            body = (
                f"{_XML}<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
            )
            return _response(error.status, body, {"x-ms-error-code": error.code})

    def next_visible_at(self) -> datetime | None:
        """Return when the first message of all queues is, or was, visible."""
        times = [queue.next_visible_at() for queue in self.queues.values()]
        return min((time for time in times if time is not None), default=None)

    def _answer(self, request: Request) -> Response:
        name, *rest = request.path.split("/")
        if not rest:
            return self._on_queue(request, name)
        queue = self._queue(name)
        match request.method, rest:
            case "POST", ["messages"]:
                return _send(queue, request)
            case "GET", ["messages"]:
                return _receive(queue, request)
            case "DELETE", ["messages"]:
                queue.clear()
                return _response(204)
            case "PUT", ["messages", message_id]:
                return _update(queue, message_id, request)
            case "DELETE", ["messages", message_id]:
                queue.delete(message_id, request.query.get("popreceipt", ""))
                return _response(204)
        raise RefusedError("NotImplemented")

    def _on_queue(self, request: Request, name: str) -> Response:
        match request.method, request.query.get("comp"):
            case "PUT", None:
                is_new = name not in self.queues
                self.queues.setdefault(name, MessageQueue(self._clock))
                return _response(201 if is_new else 204)
            case "DELETE", None:
                self._queue(name)
                del self.queues[name]
                return _response(204)
            case (("GET" | "HEAD"), "metadata"):
                count = str(len(self._queue(name)))
                return _response(200, headers={"x-ms-approximate-messages-count": count})
        raise RefusedError("NotImplemented")

    def _queue(self, name: str) -> MessageQueue:
        try:
            return self.queues[name]
        except KeyError:
            raise RefusedError("QueueNotFound") from None


def _send(queue: MessageQueue, request: Request) -> Response:
    time_to_live = _number(request, "messagettl", -1, _WEEK * 10_000, _WEEK)
    delay = _number(request, "visibilitytimeout", 0, _WEEK, 0)
    if time_to_live == 0 or 0 < time_to_live <= delay:
        raise RefusedError("OutOfRangeQueryParameterValue")
    lifetime = None if time_to_live == -1 else timedelta(seconds=time_to_live)
    message = queue.send(_text(request.body), timedelta(seconds=delay), lifetime)
    return _response(201, _list(_xml(message, is_received=False)))


def _receive(queue: MessageQueue, request: Request) -> Response:
    most = _number(request, "numofmessages", 1, _MOST_MESSAGES, 1)
    if request.query.get("peekonly") == "true":
        peeked = queue.peek(most)
        return _response(200, _list(*(_xml(m, is_held=False) for m in peeked)))
    lease = _number(request, "visibilitytimeout", 1, _WEEK, _LEASE)
    received = queue.receive(most, timedelta(seconds=lease))
    return _response(200, _list(*map(_xml, received)))


def _update(queue: MessageQueue, message_id: str, request: Request) -> Response:
    delay = _number(request, "visibilitytimeout", 0, _WEEK, None)
    text = _text(request.body) if request.body else None
    receipt = request.query.get("popreceipt", "")
    message = queue.update(message_id, receipt, timedelta(seconds=delay), text)
    next_visible = _date(message.visible_at)
    headers = {"x-ms-popreceipt": message.receipt, "x-ms-time-next-visible": next_visible}
    return _response(204, headers=headers)


def _number(request: Request, name: str, least: int, most: int, default: int | None) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch(r"-?\d+", text, re.ASCII) or not least <= int(text) <= most:
        raise RefusedError("OutOfRangeQueryParameterValue")
    return int(text)


def _text(body: bytes) -> str:
    """Return the text in `<QueueMessage><MessageText>…</MessageText></QueueMessage>`."""
    try:
        text = fromstring(body).findtext("MessageText") or ""  # noqa: S314 - from our own clients
    except ParseError:
        raise RefusedError("InvalidXmlDocument") from None
    if len(text.encode()) > _MOST_BYTES:
        raise RefusedError("RequestBodyTooLarge")
    return text


def _xml(message: Message, *, is_held: bool = True, is_received: bool = True) -> str:
    facts = {
        "MessageId": message.message_id,
        "InsertionTime": _date(message.inserted_at),
        "ExpirationTime": _date(message.expires_at),
    }
    if is_received:
        facts["DequeueCount"] = str(message.dequeue_count)
        facts["MessageText"] = escape(message.text, {"\r": "&#xD;"})
    if is_held:
        facts |= {"PopReceipt": message.receipt, "TimeNextVisible": _date(message.visible_at)}
    content = "".join(f"<{name}>{value}</{name}>" for name, value in facts.items())
    return f"<QueueMessage>{content}</QueueMessage>"


def _list(*messages: str) -> str:
    return f"{_XML}<QueueMessagesList>{''.join(messages)}</QueueMessagesList>"


def _date(instant: datetime) -> str:
    return _http_date(instant.replace(microsecond=0))


@lru_cache(maxsize=1024)
def _http_date(second: datetime) -> str:
    return format_datetime(second, usegmt=True)


def _response(status: int, body: str = "", headers: dict[str, str] | None = None) -> Response:
    kind = {"Content-Type": "application/xml"} if body else {}
    return Response(
        status=status,
        headers={**kind, "x-ms-version": "2026-02-06", **(headers or {})},
        body=body.encode(),
    )
