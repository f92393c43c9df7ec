"""The function app in the real language worker, as a function that the pumps call."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from opswatch.local.host.bindings import queue_input, timer_input
from tests.conformance.driver import SUCCESS, RealWorker, real_worker
from tests.pump.pumps import Arrival
from tests.support.trigger import ROOT

HOST_JSON: Mapping[str, Any] = json.loads((ROOT / "host.json").read_text("utf-8"))


class PumpedApp:
    """The app's functions, and a record of the messages that they have handled."""

    def __init__(self, worker: RealWorker) -> None:
        self._worker = worker
        self._functions = {
            function.trigger["queueName"]: function.name
            for function in worker.functions.values()
            if function.trigger["type"] == "queueTrigger"
        }
        self.queues = tuple(self._functions)
        self.handled: list[tuple[Arrival, bool]] = []  # with its success

    async def handle(self, arrival: Arrival) -> bool:
        """Run the function of the arrival's queue; return whether it succeeded."""
        message = queue_input(
            arrival.text,
            message_id=arrival.message_id,
            pop_receipt=arrival.pop_receipt,
            dequeue_count=arrival.dequeue_count,
            times=arrival.times,
        )
        response = await self._worker.invoke(self._functions[arrival.queue], message)
        succeeded = bool(response["result"]["status"] == SUCCESS)
        self.handled.append((arrival, succeeded))
        return succeeded

    async def repair(self) -> None:
        """Run the timer function that also runs at start-up; it creates queues and tables."""
        await self._worker.run("repair", timer_input())


@asynccontextmanager
async def pumped_app(env: Mapping[str, str]) -> AsyncIterator[PumpedApp]:
    """Yield the app in a worker of its own."""
    async with real_worker(ROOT, env) as worker:
        yield PumpedApp(worker)
