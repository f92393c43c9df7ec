"""The whole app over real parts: Azurite, HTTP, the local host, a receiver, and a simulated ARM."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.config import Storage
from opswatch.core.deliveries import DeliveryState
from opswatch.core.watches import FinalStatus
from opswatch.local.azurite import running_azurite
from opswatch.local.host import LocalHost
from opswatch.local.simulator import SCRIPTS, Scenario, Simulator
from opswatch.ports import Query
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.rows.tables import DELIVERIES, OUTBOX, RESULTS, WATCHES
from tests.support.endpoints import Endpoint
from tests.support.harness import SECRET
from tests.support.trigger import ROOT

PATIENCE = 180  # seconds, on a busy machine

NEVER_ENDS_WELL = {
    "failed": FinalStatus.FAILED,
    "failed-no-error": FinalStatus.FAILED,
    "failed-null-error": FinalStatus.FAILED,
    "failed-empty-error": FinalStatus.FAILED,
    "failed-blank-code": FinalStatus.FAILED,
    "failed-nested-error": FinalStatus.FAILED,
    "failed-errors": FinalStatus.FAILED,
    "deployment-failed": FinalStatus.FAILED,
    "timed-out": FinalStatus.FAILED,
    "location-failed": FinalStatus.FAILED,
    "redis-enterprise-failed": FinalStatus.FAILED,
    "canceled": FinalStatus.CANCELED,
    "cancelled": FinalStatus.CANCELED,
    "forbidden": FinalStatus.LOST,
    "expired": FinalStatus.LOST,
    "gone": FinalStatus.LOST,
    "never-ending": FinalStatus.TIMED_OUT,
    "group-conflict": FinalStatus.FAILED,  # a 409 at a Location URL is the operation's failure
}


@pytest.mark.timeout(300)
async def test_every_script_ends_with_one_verified_callback() -> None:
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        arm = await stack.enter_async_context(Simulator(seed=7))
        endpoint = await stack.enter_async_context(Endpoint("hook", SECRET))
        env = {
            **arm.environment,
            "AzureWebJobsStorage": azurite.connection_string,
            **endpoint.environment,
            "OPSWATCH_POLL_MAX": "PT2S",
            "OPSWATCH_TIMEOUT": "PT30S",
            "OPSWATCH_MISS_GRACE": "PT10S",
        }
        host = await stack.enter_async_context(LocalHost(ROOT, env=env))
        await host.started()
        account = Account(Storage.from_env(env))
        stack.push_async_callback(account.close)
        queue = account.queue(OPERATIONS_QUEUE)

        started = {
            script: arm.start(_shortened(script, scenario)) for script, scenario in SCRIPTS.items()
        }
        for operation in started.values():
            await queue.send_message(operation.url, time_to_live=-1)
        deliveries = AzureTable(account, DELIVERIES)
        async with asyncio.timeout(PATIENCE):
            while len([row async for row in deliveries.find(Query())]) < len(started):
                await asyncio.sleep(0.5)

        table = AzureTable(account, RESULTS)
        results = {
            row.value.facts.operation.operation_id: row.value async for row in table.find(Query())
        }
        ends = {script: results[begun.id].end.status for script, begun in started.items()}
        assert ends == {
            script: NEVER_ENDS_WELL.get(script, FinalStatus.SUCCEEDED) for script in SCRIPTS
        }
        assert {row.value.state async for row in deliveries.find(Query())} == {
            DeliveryState.DELIVERED
        }
        watches = AzureTable(account, WATCHES)
        outbox = AzureTable(account, OUTBOX)
        assert [row async for row in watches.find(Query())] == []
        assert [row async for row in outbox.find(Query())] == []
        assert len(endpoint.posts) == len(started)
        for post in endpoint.posts:
            assert post.event, "a wrong signature"
            assert post.is_accepted
            result = results[post.operation_id]
            assert post.event["data"]["status"] == result.end.status.value
        assert all(
            request.path.startswith(("/subscriptions/", "/msi/")) for request in arm.requests
        )


def _shortened(script: str, scenario: Scenario) -> Scenario:
    """Return a short scenario, unless it never ends, or its status expires before its end."""
    if scenario.duration is None or script in ("expired", "gone"):
        return scenario
    return scenario.with_duration(timedelta(seconds=3))
