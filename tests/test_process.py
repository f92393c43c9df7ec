"""The services of a worker process: opened at their first use, closed with the event loop."""

import asyncio
import logging

import pytest

from opswatch.core.errors import ConfigError
from opswatch.core.keys import Key
from opswatch.local.azurite import Azurite
from opswatch.ports import Services
from opswatch.process import Process


async def test_callers_share_the_services(azurite: Azurite) -> None:
    process = Process({"AzureWebJobsStorage": azurite.connection_string})
    first, *others = await asyncio.gather(*(process.services() for _ in range(5)))
    assert all(other is first for other in others)
    assert await process.services() is first
    assert await first.store.watches.get(Key("p", "r")) is None


async def test_failed_opening_is_tried_again(azurite: Azurite) -> None:
    env: dict[str, str] = {}
    process = Process(env)
    for _ in range(2):
        with pytest.raises(ConfigError):
            await process.services()
    env["AzureWebJobsStorage"] = azurite.connection_string
    assert isinstance(await process.services(), Services)


async def test_cancelled_caller_does_not_stop_the_opening(azurite: Azurite) -> None:
    process = Process({"AzureWebJobsStorage": azurite.connection_string})
    cancelled, waiting = (asyncio.create_task(process.services()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert isinstance(await waiting, Services)


def test_end_of_event_loop_closes_services(
    azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process({"AzureWebJobsStorage": azurite.connection_string})
    with caplog.at_level(logging.WARNING):
        services = asyncio.run(process.services())
    assert caplog.messages == []
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(services.store.watches.get(Key("p", "r")))
