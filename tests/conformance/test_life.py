"""An operation from its post to its callback through the real language worker."""

import asyncio
import re
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.config import Storage
from opswatch.core.deliveries import DeliveryState
from opswatch.core.watches import FinalStatus
from opswatch.local.azurite import running_azurite
from opswatch.local.demo.receiver import Receiver
from opswatch.local.host.bindings import Input, http_input, queue_input, timer_input
from opswatch.local.host.leases import Lease, LeasedQueue
from opswatch.local.simulator import SCRIPTS, Simulator
from opswatch.ports import Query
from opswatch.rows.messages import OPERATIONS_QUEUE, QUEUES
from opswatch.rows.tables import DELIVERIES, RESULTS
from tests.conformance.driver import ROOT, SUCCESS, RealWorker, Reported, real_worker

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="azure-functions-runtime exists from Python 3.13 on"
)
PATIENCE = 30  # seconds


async def test_operation_is_watched_and_receiver_called() -> None:
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())  # `operations` has one reader
        arm = await stack.enter_async_context(Simulator(seed=4))
        receiver = await stack.enter_async_context(Receiver())
        env = arm.environment | {
            "AzureWebJobsStorage": azurite.connection_string,
            **receiver.environment,
            "OPSWATCH_POLL_MAX": "PT1S",
        }
        account = Account(Storage.from_env(env))
        stack.push_async_callback(account.close)
        worker = await stack.enter_async_context(real_worker(ROOT, env))

        await run_timers(worker)  # they create queues and tables
        scenario = SCRIPTS["redis-enterprise-failed"].with_duration(timedelta(seconds=1))
        started = arm.start(scenario)
        await account.queue(OPERATIONS_QUEUE).send_message(started.url)
        async with asyncio.timeout(PATIENCE):
            while not receiver.received:
                await pump(worker, account)
        await run_timers(worker)
        await ask_routes(worker)

        results = AzureTable(account, RESULTS)
        (result,) = [row.value async for row in results.find(Query())]
        assert result.facts.operation.operation_id == started.id
        assert result.end.status is FinalStatus.FAILED
        assert result.facts.polls == arm.operation(started.id).polls >= 2
        (received,) = receiver.received
        assert received.event, "the signature does not hold"
        assert received.event["data"]["operationId"] == started.id
        deliveries = AzureTable(account, DELIVERIES)
        (delivery,) = [row.value async for row in deliveries.find(Query())]
        assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)
        for name in QUEUES:
            assert await LeasedQueue(account, name).receive(1) == []


async def test_storage_that_is_not_set_fails_every_function() -> None:
    async with real_worker(ROOT, {"AzureWebJobsStorage": "no connection string"}) as worker:
        for function in worker.functions.values():
            if function.trigger["type"] == "httpTrigger":
                continue  # they answer with a status
            response = await worker.invoke(function.name, given(function))
            assert response["result"]["status"] != SUCCESS
            assert "AzureWebJobsStorage" in response["result"]["exception"]["message"]


async def test_message_that_a_wrong_setting_stops_is_kept() -> None:
    with running_azurite() as azurite:
        env = {"AzureWebJobsStorage": azurite.connection_string, "OPSWATCH_ARM_ENDPOINT": "soon"}
        account = Account(Storage.from_env(env))
        try:
            async with real_worker(ROOT, env) as worker:
                await run_timers(worker)
                lease = Lease(message_id="1", pop_receipt="1", text="{}", dequeue_count=5, times={})
                await worker.run(OPERATIONS_QUEUE, message(lease))
            properties = await account.queue(OPERATIONS_QUEUE).get_queue_properties()
            assert properties.approximate_message_count == 1
            assert await LeasedQueue(account, OPERATIONS_QUEUE).receive(1) == []  # not yet
        finally:
            await account.close()


def given(function: Reported) -> Input:
    """Return a small input of the right type."""
    match function.trigger["type"]:
        case "queueTrigger":
            lease = Lease(message_id="1", pop_receipt="1", text="", dequeue_count=1, times={})
            return message(lease)
        case "timerTrigger":
            return timer_input()
        case _:
            return request(function.trigger)


def request(trigger: Mapping[str, Any]) -> Input:
    """Return an empty request to a route, with `x` for each of its parameters."""
    return http_input(
        method=(trigger.get("methods") or ["GET"])[0],
        url=f"http://localhost:7071/api/{trigger['route']}",
        headers={},
        query={},
        route=dict.fromkeys(re.findall(r"{\W*(\w+)", trigger["route"]), "x"),
        body=b"",
    )


def message(lease: Lease) -> Input:
    return queue_input(
        lease.text,
        message_id=lease.message_id,
        pop_receipt=lease.pop_receipt,
        dequeue_count=lease.dequeue_count,
        times=lease.times,
    )


async def run_timers(worker: RealWorker) -> None:
    for function in worker.functions.values():
        if function.trigger["type"] == "timerTrigger":
            await worker.run(function.name, timer_input())


async def ask_routes(worker: RealWorker) -> None:
    for function in worker.functions.values():
        if function.trigger["type"] == "httpTrigger":
            answer = await worker.run(function.name, given(function))
            assert int(answer["http"]["status_code"]) < 500, (function.name, answer)


async def pump(worker: RealWorker, account: Account) -> None:
    """Run each queue's function for its visible messages, as the host does."""
    for function in worker.functions.values():
        if function.trigger["type"] == "queueTrigger":
            queue = LeasedQueue(account, function.trigger["queueName"])
            for lease in await queue.receive(32):
                await worker.run(function.name, message(lease))
                await queue.delete(lease)
