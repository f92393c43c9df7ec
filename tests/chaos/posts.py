"""Posts of users, each repeated until it is confirmed, and a record of their expected outcomes."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

from azure.core.exceptions import AzureError
from azure.storage.queue.aio import QueueClient

from opswatch.core.errors import Reason
from opswatch.core.keys import operation_from_url
from opswatch.local.demo.cases import FORMS, LOCATION, SUBSCRIPTION, Extras, rejected_cases
from opswatch.local.simulator import Simulator
from tests.chaos.audit import Expected
from tests.chaos.workload import PlannedOperation
from tests.support.endpoints import Endpoint

TIMEOUT = "PT30S"  # of operations that never end
_PLACE = {"subscription": SUBSCRIPTION, "location": LOCATION}


class Poster:
    """Posts a workload, and invalid messages beside it."""

    def __init__(self, queue: QueueClient, arm: Simulator, endpoints: Sequence[Endpoint]) -> None:
        self._queue = queue
        self._arm = arm
        self._urls = {endpoint.name: endpoint.url for endpoint in endpoints}
        self.expected: list[Expected] = []
        self.rejected: dict[str, Reason] = {}  # by the digest of the body
        self.messages = 0  # that were confirmed

    async def post(self, workload: list[PlannedOperation]) -> None:
        """Post each message at its time; return when the last one is confirmed."""
        async with asyncio.TaskGroup() as users:
            for planned in workload:
                users.create_task(self._start_and_post(planned))
            for number, planned in enumerate(workload[::10]):
                body = f"please watch cache {number}!".encode()
                users.create_task(self._reject(body, Reason.INVALID_OPERATION, planned.at))
            for case in rejected_cases():
                users.create_task(self._reject(case.body, Reason(case.expected)))

    async def _start_and_post(self, planned: PlannedOperation) -> None:
        await asyncio.sleep(planned.at)
        started = self._arm.start(planned.scenario, place=_PLACE)
        ends_at = self._arm.operation(started.id).ends_at
        expected = Expected(operation_from_url(started.url), planned.status, ends_at)
        self.expected.append(expected)
        timeout = {} if planned.scenario.duration else {"timeout": TIMEOUT}
        for message in planned.messages:
            await asyncio.sleep(message.after)
            expected.endpoints.add(message.endpoint)
            url = self._urls[message.endpoint]
            extras: Extras = {"callbackUrl": url, "kind": planned.script, **timeout}
            await self._send(FORMS[message.form](started, extras))

    async def _reject(self, body: bytes, reason: Reason, at: float = 0) -> None:
        await asyncio.sleep(at)
        self.rejected[sha256(body).hexdigest()] = reason
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
