"""The Functions host and the user, as a program: they are not in the process that is measured.

The user posts operations over one interval (again and again with `--repeat`). The host receives and
deletes messages by the rules of `opswatch.local.host` and of host.json, and hands each over.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import fromstring
from xml.sax.saxutils import escape

import aiohttp

from benchmarks.polls.hand_over import Calls, calling
from benchmarks.polls.operations import url_path
from opswatch.local.host.leases import LEASE, Lease, LeasedQueue
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import HostSettings
from opswatch.local.host.shutdown import Shutdown
from opswatch.rows.messages import OPERATIONS_QUEUE, QUEUES
from tests.support.trigger import ROOT


class UnsignedQueue(LeasedQueue):
    """A queue of the stand-in, which checks no signature: so its host costs little."""

    def __init__(self, session: aiohttp.ClientSession, uri: str, name: str) -> None:
        self.name, self.lease = name, LEASE
        self._session, self._messages_url = session, f"{uri}/{name}/messages"

    async def receive(self, most: int) -> list[Lease]:
        """Lease up to `most` messages, none if the queue does not exist."""
        seconds = int(self.lease.total_seconds())
        url = f"{self._messages_url}?numofmessages={most}&visibilitytimeout={seconds}"
        async with self._session.get(url) as response:
            text = await response.text()
        return list(_leases(text)) if response.status == 200 else []  # noqa: PLR2004 - OK

    async def delete(self, lease: Lease) -> None:
        """Remove the message."""
        async with self._session.delete(self._url_of(lease)):
            pass

    async def release(self, lease: Lease, delay: timedelta) -> None:
        """Make the message visible again after `delay`."""
        seconds = int(delay.total_seconds())
        async with self._session.put(f"{self._url_of(lease)}&visibilitytimeout={seconds}"):
            pass

    async def poison(self, lease: Lease) -> None:
        """End the benchmark: no function may fail."""
        raise RuntimeError(f"a function failed {lease.dequeue_count} times: {lease.text}")

    async def send(self, text: str) -> bool:
        """Post a message; return False if there is no queue yet."""
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>"
        url = f"{self._messages_url}?messagettl=-1"
        async with self._session.post(url, data=body.encode()) as response:
            return response.ok

    def _url_of(self, lease: Lease) -> str:
        receipt = quote(lease.pop_receipt, safe="")
        return f"{self._messages_url}/{lease.message_id}?popreceipt={receipt}"


def _leases(xml: str) -> Iterator[Lease]:
    for message in fromstring(xml).iter("QueueMessage"):  # noqa: S314 - from the stand-in
        fields = {field.tag: field.text or "" for field in message}
        yield Lease(
            message_id=fields["MessageId"],
            pop_receipt=fields["PopReceipt"],
            text=fields["MessageText"],
            dequeue_count=int(fields["DequeueCount"]),
            times={},
        )


async def pump(queues: list[UnsignedQueue], calls: Calls) -> None:
    """Run the function of each queue for each of its messages."""
    settings = HostSettings.load(ROOT, {}).queues
    async with asyncio.TaskGroup() as listening:
        for place, queue in enumerate(queues):

            async def run(_: Lease, body: str, place: int = place) -> bool:
                return await calls.call(place, body.encode())

            listening.create_task(QueueListener(queue, settings, run, Shutdown()).run())


async def post(queue: UnsignedQueue, arm: str, operations: int, interval: int) -> None:
    """Post operations, evenly over one interval."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(operations):
        await asyncio.sleep(began + interval * number / operations - loop.time())
        while not await queue.send(f"{arm}{url_path(number)}"):
            await asyncio.sleep(0.1)


async def main(options: argparse.Namespace) -> None:
    """Post, and pump until standard input ends."""
    async with calling(options.socket) as calls, aiohttp.ClientSession() as session:
        queues = [UnsignedQueue(session, options.queues, name) for name in QUEUES]
        operations = queues[QUEUES.index(OPERATIONS_QUEUE)]

        async def post_all() -> None:
            await post(operations, options.arm, options.operations, options.interval)
            while options.repeat:
                await post(operations, options.arm, options.operations, options.interval)

        print(flush=True)
        working = asyncio.gather(post_all(), pump(queues, calls))
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))  # with the other process
        await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working  # raises what has ended it


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("queues", help="the URI of the queue service")
    parser.add_argument("socket", type=Path)
    parser.add_argument("arm")
    parser.add_argument("operations", type=int)
    parser.add_argument("interval", type=int)
    parser.add_argument("--repeat", action="store_true")
    asyncio.run(main(parser.parse_args()))
