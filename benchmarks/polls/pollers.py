"""The pollers: each polls a number of operations once a second until it is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from types import MappingProxyType
from typing import Any, Final, Self

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import (
    AsyncRedirectPolicy,
    AsyncRetryPolicy,
    ContentDecodePolicy,
    CustomHookPolicy,
    DistributedTracingPolicy,
    HeadersPolicy,
    HttpLoggingPolicy,
    NetworkTraceLoggingPolicy,
    ProxyPolicy,
    RedirectPolicy,
    RequestIdPolicy,
    RetryPolicy,
    SensitiveHeaderCleanupPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.polling import AsyncLROPoller, LROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core import ARMPipelineClient, AsyncARMPipelineClient
from azure.mgmt.core.policies import (
    ARMAutoResourceProviderRegistrationPolicy,
    ARMChallengeAuthenticationPolicy,
    AsyncARMAutoResourceProviderRegistrationPolicy,
    AsyncARMChallengeAuthenticationPolicy,
)
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from opswatch import steps
from opswatch.adapters.arm import HttpArm
from opswatch.bootstrap import open_world
from opswatch.config import STORAGE
from opswatch.core.model import WakeUp
from opswatch.core.wire import wake_up_text
from opswatch.ports import Queue, Sent, World

SCOPE = "https://management.azure.com/.default"
_INTERVAL = 1  # seconds
_TOKEN = AccessToken("eyJ0.token.signature", 2**33)

Poll = Callable[[str, str, int], Awaitable[None]]  # ARM, the storage, how many; until cancelled


class _Credential:
    """Has a token already, as an identity has that was asked before."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return _TOKEN

    def close(self) -> None: ...


class _AsyncCredential:
    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        return _TOKEN

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


def _start_of(number: int) -> HttpRequest:
    return HttpRequest("PUT", f"/subscriptions/{_status_path(number)}", json={})


def _status_path(number: int) -> str:
    subscription = "00000000-0000-0000-0000-000000000000"
    return (
        f"{subscription}/providers/Microsoft.Cache/locations/westus/operationsStatus/"
        f"{number:08}-0000-0000-0000-000000000000?api-version=2024-10-01"
    )


async def lro_poller(arm: str, _: str, operations: int) -> None:
    """Poll with azure-core's `LROPoller`: a thread for each operation."""
    # The policies of a generated client, in its order; plain HTTP, for there is no TLS here.
    policies = [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy("benchmark"),
        ProxyPolicy(),
        ContentDecodePolicy(),
        ARMAutoResourceProviderRegistrationPolicy(),
        RedirectPolicy(),
        RetryPolicy(),
        ARMChallengeAuthenticationPolicy(_Credential(), SCOPE, enforce_https=False),
        CustomHookPolicy(),
        NetworkTraceLoggingPolicy(),
        DistributedTracingPolicy(),
        SensitiveHeaderCleanupPolicy(),
        HttpLoggingPolicy(),
    ]
    client: ARMPipelineClient[Any, Any] = ARMPipelineClient(arm, policies=policies)

    def poll(number: int) -> None:
        request = client.format_url(_start_of(number).url)
        started = client._pipeline.run(  # noqa: SLF001 - as generated clients do
            HttpRequest("PUT", request, json={}), stream=False, enforce_https=False
        )
        LROPoller(
            client, started, lambda _: None, ARMPolling(_INTERVAL, enforce_https=False)
        ).result()

    for number in range(operations):
        Thread(target=poll, args=(number,), daemon=True).start()
        await asyncio.sleep(_INTERVAL / operations)
    await asyncio.Event().wait()


async def async_lro_poller(arm: str, _: str, operations: int) -> None:
    """Poll with azure-core's `AsyncLROPoller`, as it comes: a task for each operation."""
    await _async_lro_poller(arm, operations, AioHttpTransport())


async def lean_async_lro_poller(arm: str, _: str, operations: int) -> None:
    """Poll with an `AsyncLROPoller` that leaves the environment's settings alone."""
    await _async_lro_poller(arm, operations, AioHttpTransport(use_env_settings=False))


async def _async_lro_poller(arm: str, operations: int, transport: AioHttpTransport) -> None:
    policies = [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy("benchmark"),
        ProxyPolicy(),
        ContentDecodePolicy(),
        AsyncARMAutoResourceProviderRegistrationPolicy(),
        AsyncRedirectPolicy(),
        AsyncRetryPolicy(),
        AsyncARMChallengeAuthenticationPolicy(_AsyncCredential(), SCOPE, enforce_https=False),
        CustomHookPolicy(),
        NetworkTraceLoggingPolicy(),
        DistributedTracingPolicy(),
        SensitiveHeaderCleanupPolicy(),
        HttpLoggingPolicy(),
    ]
    client: AsyncARMPipelineClient[Any, Any] = AsyncARMPipelineClient(
        arm, policies=policies, transport=transport
    )
    async with client:

        async def poll(number: int) -> None:
            await asyncio.sleep(_INTERVAL * number / operations)
            request = HttpRequest("PUT", client.format_url(_start_of(number).url), json={})
            started = await client._pipeline.run(  # noqa: SLF001 - as generated clients do
                request, stream=False, enforce_https=False
            )
            polling = AsyncARMPolling(_INTERVAL, enforce_https=False)
            await AsyncLROPoller(client, started, lambda _: None, polling).result()

        async with asyncio.TaskGroup() as polls:
            for number in range(operations):
                polls.create_task(poll(number))


class _Trigger:
    """A queue that starts the function for each message once it is due, as the host does.

    What the host does for it, which is no Python, is left out: to receive, and to delete.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._running: set[asyncio.Task[None]] = set()
        self.world: World

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        sent = await self._queue.send(wake, delay)
        running = asyncio.create_task(self._run(wake, delay.total_seconds()))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return sent

    async def _run(self, wake: WakeUp, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await steps.operations_message(self.world, wake_up_text(wake).encode())

    async def take_back(self, sent: Sent) -> None:
        await self._queue.take_back(sent)

    async def depth(self) -> int:
        return await self._queue.depth()


async def opswatch(arm: str, storage: str, operations: int) -> None:
    """Poll with opswatch: each poll reads a row, sends a message and writes the row."""
    async with AsyncExitStack() as stack:
        env = {STORAGE: storage, "OPSWATCH_ARM_ENDPOINT": arm}
        world = await stack.enter_async_context(open_world(env))
        trigger = _Trigger(world.operations)
        ours = HttpArm(arm, SCOPE, _AsyncCredential())
        stack.push_async_callback(ours.close)
        trigger.world = replace(world, operations=trigger, arm=ours)
        for number in range(operations):
            url = f"{arm}/subscriptions/{_status_path(number)}"
            await steps.operations_message(trigger.world, url.encode())
            await asyncio.sleep(_INTERVAL / operations)
        await asyncio.Event().wait()


POLLERS: Final = MappingProxyType[str, Poll](
    {
        "LROPoller": lro_poller,
        "AsyncLROPoller": async_lro_poller,
        "AsyncLROPoller, lean": lean_async_lro_poller,
        "opswatch": opswatch,
    }
)
