"""The storage stand-in with counters, as a program: `python -m benchmarks.polls.storage`.

It counts the requests by their kind, and how many messages the queues hold.
"""

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import msgspec

from tests.support.clock import utc_now
from tests.support.storage.http import Answer, Request, Response, serving
from tests.support.storage.queue_service import QueueService
from tests.support.storage.table_service import TableService

_SAMPLED_EACH = 0.1  # seconds
_QUEUE_KINDS = {"POST": "send", "DELETE": "delete message", "PUT": "update message"}
_TABLE_KINDS = {"DELETE": "remove", "PUT": "write", "PATCH": "write", "MERGE": "write"}


def queue_kind(request: Request) -> str:
    """Return what a request asks of the queue service."""
    _, _, rest = request.path.partition("/")
    if not rest:
        return "queue"  # its metadata, or its creation
    if request.method == "GET":
        return "peek" if request.query.get("peekonly") == "true" else "receive"
    return _QUEUE_KINDS[request.method]


def table_kind(request: Request) -> str:
    """Return what a request asks of the table service: a transaction counts once, as it costs."""
    if request.method == "POST":
        return {"$batch": "transaction", "Tables": "table"}.get(request.path, "insert")
    if request.method == "GET":
        return "read" if "PartitionKey=" in request.path else "query"
    return _TABLE_KINDS[request.method]


class CountedStorage:
    """Both services, and what they have been asked since the last `begin`."""

    def __init__(self) -> None:
        self.queues, self.tables = QueueService(utc_now), TableService(utc_now)
        self.requests: Counter[str] = Counter()
        self.messages: list[int] = []

    def answer_queue(self, request: Request) -> Response:
        """Count a request to the queue service, and answer it."""
        self.requests[queue_kind(request)] += 1
        return self.queues.answer(request)

    def answer_table(self, request: Request) -> Response:
        """Count a request to the table service, and answer it."""
        self.requests[table_kind(request)] += 1
        return self.tables.answer(request)

    def answer_question(self, request: Request) -> Response:
        """Begin to count, or answer with what was counted."""
        if request.path == "begin":
            self.requests.clear()
            self.messages.clear()
            return Response(status=204, headers={})
        return Response(status=200, headers={}, body=msgspec.json.encode(self.figures()))

    def sample(self) -> None:
        """Note how many messages the queues hold, hidden ones included."""
        self.messages.append(sum(len(queue) for queue in self.queues.queues.values()))

    def figures(self) -> dict[str, Any]:
        """Return the requests by their kind, and the messages: median and most."""
        return {
            "requests": self.requests,
            "messages_median": median(self.messages or [0]),
            "messages_most": max(self.messages, default=0),
        }


async def serve() -> None:
    """Print the ports of queues, tables and questions, and serve until standard input ends."""
    storage = CountedStorage()
    answers: tuple[Answer, ...] = (
        storage.answer_queue,
        storage.answer_table,
        storage.answer_question,
    )

    async def sample() -> None:
        while True:
            storage.sample()
            await asyncio.sleep(_SAMPLED_EACH)

    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(answer)) for answer in answers]
        print(*ports, flush=True)
        sampling = asyncio.create_task(sample())
        await asyncio.to_thread(sys.stdin.read)
        sampling.cancel()


if __name__ == "__main__":
    asyncio.run(serve())
