"""What the scaler of the Functions host asks for, read from Microsoft's listener."""

from collections.abc import Mapping
from typing import Any

from opswatch.local.azurite import Azurite
from tests.pump.proxy import queue_proxy
from tests.pump.pumps import listener_process

_INTERVAL = 0.1  # seconds between two readings
_NO_FUNCTION = "http://127.0.0.1:9/"  # nothing is handed over


async def scaler_targets(
    azurite: Azurite, host_json: Mapping[str, Any], *queues: str
) -> dict[str, int]:
    """Return how many instances the scaler asks for, by queue, for the messages that are there.

    The listener must run for that. It gets no message, so the queues stay as they are.
    """
    urls = dict.fromkeys(queues, _NO_FUNCTION)
    async with (
        queue_proxy(azurite, hides_messages=True) as proxy,
        listener_process(proxy.connection_string, host_json, urls, scale=_INTERVAL) as listener,
    ):
        return await listener.targets()
