"""Posting as users do, each message until it is confirmed, and the book of what must come of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from azure.core.exceptions import AzureError
from azure.storage.queue.aio import QueueClient
from opswatch.core.wire import body_digest

from opswatch.core.errors import Reason
from opswatch.core.keys import Operation, operation_from_url
from opswatch.core.watches import FinalStatus
from opswatch.local.demo.cases import FORMS, LOCATION, SUBSCRIPTION, Extras, rejected_cases
from opswatch.local.simulator import Simulator
from tests.chaos.receivers import Receiver
from tests.chaos.stories import Message, Story

TIMEOUT = "PT30S"  # of operations that never end
_PLACE = {"subscription": SUBSCRIPTION, "location": LOCATION}


@dataclass(frozen=True, slots=True)
class OperationFacts:
    """An operation that was posted, and what must come of it."""

    operation: Operation
    status: FinalStatus
    ends_at: datetime | None  # as ARM has it
    doors: set[str] = field(default_factory=set)  # at which its event must arrive


class Poster:
    """Posts stories, and nonsense beside them."""

    def __init__(self, queue: QueueClient, arm: Simulator, receivers: Sequence[Receiver]) -> None:
        self._queue = queue
        self._arm = arm
        self._urls = {receiver.door: receiver.url for receiver in receivers}
        self.followed: list[OperationFacts] = []
        self.rejected: dict[str, Reason] = {}  # by the digest of the body
        self.messages = 0  # that were confirmed

    async def post(self, stories: list[Story]) -> None:
        """Post each story at its time; return when the last message is confirmed."""
        async with asyncio.TaskGroup() as users:
            for story in stories:
                users.create_task(self._tell(story))
            for number, story in enumerate(stories[::10]):
                users.create_task(self._disturb(number, story.at))
            for case in rejected_cases():
                users.create_task(self._reject(case.body, Reason(case.expected)))

    async def _tell(self, story: Story) -> None:
        await asyncio.sleep(story.at)
        started = self._arm.start(story.life, place=_PLACE)
        operation = operation_from_url(started.url)
        ends_at = self._arm.operation(started.id).ends_at
        followed = OperationFacts(operation, story.status, ends_at)
        self.followed.append(followed)
        for message in story.messages:
            await asyncio.sleep(message.after)
            followed.doors.add(message.door)
            await self._send(FORMS[message.form](started, self._extras(story, message)))

    def _extras(self, story: Story, message: Message) -> Extras:
        timeout = {} if story.life.duration else {"timeout": TIMEOUT}
        return {"callbackUrl": self._urls[message.door], "kind": story.script, **timeout}

    async def _disturb(self, number: int, at: float) -> None:
        await asyncio.sleep(at)
        await self._reject(f"please watch cache {number}!".encode(), Reason.INVALID_OPERATION)

    async def _reject(self, body: bytes, reason: Reason) -> None:
        self.rejected[body_digest(body)] = reason
        await self._send(body)

    async def _send(self, body: bytes) -> None:
        while True:
            try:
                await self._queue.send_message(body.decode(), time_to_live=-1)
            except AzureError:
                await asyncio.sleep(0.5)
            else:
                self.messages += 1
                return
