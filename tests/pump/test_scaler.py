"""How many instances the Functions scaler asks for while watches wait."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

import pytest
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import Azurite, running_azurite
from opswatch.local.simulator import SCRIPTS, Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.pump.app import HOST_JSON, pumped_app
from tests.pump.pumps import ABSENT, IS_ABSENT, listener_pump
from tests.pump.scaler import scaler_targets

pytestmark = pytest.mark.skipif(IS_ABSENT, reason=ABSENT)
PATIENCE = 50.0  # seconds

DEFAULTS = {"extensions": {"queues": {"batchSize": 16, "newBatchThreshold": 8}}}


@pytest.mark.parametrize(
    ("host_json", "target"), [(HOST_JSON, 2), (DEFAULTS, 13)], ids=["host.json", "16 + 8"]
)
async def test_scaler_counts_hidden_messages_if_one_is_visible(
    azurite: Azurite, queue: QueueClient, host_json: dict[str, Any], target: int
) -> None:
    await asyncio.gather(
        *(queue.send_message(str(number), visibility_timeout=3600) for number in range(300))
    )
    name = queue.queue_name
    assert await scaler_targets(azurite, host_json, name) == {name: 0}
    await queue.send_message("visible")
    assert await scaler_targets(azurite, host_json, name) == {name: target}


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="azure-functions-runtime exists from Python 3.13 on"
)
@pytest.mark.parametrize(
    ("waiting", "target"),
    [(600, 1)],  # they wait as rows: as messages they would ask for 3
)
async def test_scaler_target_while_watches_wait_a_minute(waiting: int, target: int) -> None:
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        arm = await stack.enter_async_context(Simulator(seed=1))
        env = {
            **arm.environment,
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_POLL_MIN": "PT60S",
            "OPSWATCH_POLL_MAX": "PT60S",
        }
        account = Account(Storage.from_env(env))
        stack.push_async_callback(account.close)
        app = await stack.enter_async_context(pumped_app(env))
        await app.repair()  # it creates the queues
        queue = account.queue(OPERATIONS_QUEUE)
        started = [arm.start(SCRIPTS["never-ending"]) for _ in range(waiting)]
        connection = azurite.connection_string
        async with listener_pump(connection, HOST_JSON, app.handle, *app.queues):
            await asyncio.gather(*(queue.send_message(begun.url) for begun in started))
            async with asyncio.timeout(PATIENCE):
                while any(arm.operation(begun.id).polls == 0 for begun in started):
                    await asyncio.sleep(0.1)
        await queue.send_message("one is visible")
        targets = await scaler_targets(azurite, HOST_JSON, *app.queues)
        sys.stdout.write(f"{waiting} watches wait: the scaler asks for {targets}\n")
        assert targets[OPERATIONS_QUEUE] == target
