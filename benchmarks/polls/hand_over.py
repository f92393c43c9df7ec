"""Messages from the host's process to that of the functions, and back whether they succeeded.

A stand-in for the channel between the Functions host and its language worker, as cheap as it can
be. The real channel (gRPC) costs more, for opswatch as for any other app.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from struct import Struct
from typing import cast

Function = Callable[[bytes], Awaitable[None]]
_CALL = Struct(">BII")  # the function's place, the call's number, the length of the body
_REPLY = Struct(">I?")  # the call's number, whether it succeeded

logger = logging.getLogger(__name__)


@asynccontextmanager
async def serving_functions(path: Path, functions: Sequence[Function]) -> AsyncIterator[None]:
    """Run functions for a host that connects to the socket at `path`."""
    workers: list[_Worker] = []

    def accept() -> _Worker:
        workers.append(_Worker(functions))
        return workers[-1]

    server = await asyncio.get_running_loop().create_unix_server(accept, path)
    try:
        yield
    finally:
        server.close()
        for worker in workers:
            worker.close()


class _Frames(asyncio.Protocol):
    """A connection, and what was received but is not complete yet."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def close(self) -> None:
        self._transport.close()


class _Worker(_Frames):
    """Runs a function for each call, all at once, and replies when it has ended."""

    def __init__(self, functions: Sequence[Function]) -> None:
        super().__init__()
        self._functions = functions
        self._running: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        received, start = self._received + data, 0
        while len(received) >= start + _CALL.size:
            place, number, length = _CALL.unpack_from(received, start)
            begin = start + _CALL.size
            if len(received) < begin + length:
                break
            start = begin + length
            task = asyncio.create_task(
                self._run(self._functions[place], number, received[begin:start])
            )
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self._received = received[start:]

    async def _run(self, function: Function, number: int, body: bytes) -> None:
        succeeded = False
        try:
            await function(body)
            succeeded = True
        except Exception:
            logger.exception("a function failed")
        self._transport.write(_REPLY.pack(number, succeeded))


class Calls(_Frames):
    """The host's end: calls functions, and waits for their replies."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[bool]] = {}

    async def call(self, place: int, body: bytes) -> bool:
        """Run a function by its place; return whether it succeeded."""
        number = next(self._numbers)
        reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        self._transport.write(_CALL.pack(place, number, len(body)) + body)
        return await reply

    def data_received(self, data: bytes) -> None:
        """Take replies."""
        received, start = self._received + data, 0
        while len(received) >= start + _REPLY.size:
            number, succeeded = _REPLY.unpack_from(received, start)
            start += _REPLY.size
            self._waiting.pop(number).set_result(succeeded)
        self._received = received[start:]


@asynccontextmanager
async def calling(path: Path) -> AsyncIterator[Calls]:
    """Connect to the process that serves functions at `path`."""
    _, calls = await asyncio.get_running_loop().create_unix_connection(Calls, str(path))
    try:
        yield calls
    finally:
        calls.close()
