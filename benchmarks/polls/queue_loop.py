"""What one writes with the storage SDKs: a queue that waits, and a row that is written each poll.

It survives a crash, as opswatch does, but has no fence, no learned schedule and no repair.
"""

import asyncio

import aiohttp
from azure.data.tables.aio import TableClient
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from benchmarks.polls.operations import Task, url_path

_NAME = "polls"
_BATCH, _AT_ONCE = 32, 256  # as opswatch's host.json has it
_LEASE = 600  # seconds
_PAUSE = 0.5  # seconds, if the queue is empty


async def sdk_loop(task: Task) -> None:
    """Receive, GET, send, write a row, delete: until it is cancelled."""
    queue = QueueClient.from_connection_string(task.storage, _NAME)
    table = TableClient.from_connection_string(task.storage, _NAME)
    async with queue, table, aiohttp.ClientSession() as session:
        await queue.create_queue()
        await table.create_table()

        async def poll(message: QueueMessage) -> None:
            async with session.get(task.arm + message.content) as response:
                status = (await response.json())["status"]
                wait = int(response.headers["Retry-After"])
            await queue.send_message(message.content, visibility_timeout=wait)
            key = message.content.rpartition("/")[2].partition("?")[0]
            await table.upsert_entity({"PartitionKey": "p", "RowKey": key, "status": status})
            await queue.delete_message(message)

        async def begin() -> None:
            for number in range(task.operations):
                await queue.send_message(url_path(number))
                await asyncio.sleep(task.step)

        running: set[asyncio.Task[None]] = {asyncio.create_task(begin())}
        while True:
            page = [
                message
                async for message in queue.receive_messages(
                    messages_per_page=_BATCH, max_messages=_BATCH, visibility_timeout=_LEASE
                )
            ]
            running |= {asyncio.create_task(poll(message)) for message in page}
            if not page:
                await asyncio.sleep(_PAUSE)
            done = {one for one in running if one.done()}
            while len(running) - len(done) > _AT_ONCE - _BATCH:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
            running -= done
