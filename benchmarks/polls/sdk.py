"""The SDK's pollers, as a generated client uses them; each polls until it is cancelled."""

import asyncio
from threading import Thread
from typing import Any

from azure.core.pipeline import policies as core
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.polling import AsyncLROPoller, LROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core import ARMPipelineClient, AsyncARMPipelineClient
from azure.mgmt.core import policies as mgmt
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from benchmarks.polls.operations import SCOPE, SyncCredential, Task, url_path
from tests.support.servers import Credential

_WITHOUT_TLS: dict[str, Any] = {"enforce_https": False}


async def lro_poller(task: Task) -> None:
    """Poll with azure-core's `LROPoller`: a thread for each operation."""
    policies = _policies(
        registration=mgmt.ARMAutoResourceProviderRegistrationPolicy(),
        redirect=core.RedirectPolicy(),
        retry=core.RetryPolicy(),
        authentication=mgmt.ARMChallengeAuthenticationPolicy(SyncCredential(), SCOPE),
    )
    client: ARMPipelineClient[Any, Any] = ARMPipelineClient(task.arm, policies=policies)

    def poll(number: int) -> None:
        request = HttpRequest("PUT", f"{task.arm}{url_path(number)}", json={})
        started = client._pipeline.run(request, stream=False, **_WITHOUT_TLS)  # noqa: SLF001 - as they do
        polling = ARMPolling(task.interval, **_WITHOUT_TLS)
        LROPoller(client, started, lambda _: None, polling).result()

    for number in range(task.operations):
        Thread(target=poll, args=(number,), daemon=True).start()
        await asyncio.sleep(task.step)
    await asyncio.Event().wait()


async def async_lro_poller(task: Task) -> None:
    """Poll with azure-core's `AsyncLROPoller`, with its defaults: a task for each operation."""
    await _async_lro_poller(task, AioHttpTransport())


async def lean_async_lro_poller(task: Task) -> None:
    """Poll with an `AsyncLROPoller` that does not read the environment's settings."""
    await _async_lro_poller(task, AioHttpTransport(use_env_settings=False))


async def _async_lro_poller(task: Task, transport: AioHttpTransport) -> None:
    policies = _policies(
        registration=mgmt.AsyncARMAutoResourceProviderRegistrationPolicy(),
        redirect=core.AsyncRedirectPolicy(),
        retry=core.AsyncRetryPolicy(),
        authentication=mgmt.AsyncARMChallengeAuthenticationPolicy(Credential(), SCOPE),
    )
    client: AsyncARMPipelineClient[Any, Any] = AsyncARMPipelineClient(
        task.arm, policies=policies, transport=transport
    )

    async def poll(number: int) -> None:
        await asyncio.sleep(task.step * number)
        request = HttpRequest("PUT", f"{task.arm}{url_path(number)}", json={})
        started = await client._pipeline.run(request, stream=False, **_WITHOUT_TLS)  # noqa: SLF001
        polling = AsyncARMPolling(task.interval, **_WITHOUT_TLS)
        await AsyncLROPoller(client, started, lambda _: None, polling).result()

    async with client, asyncio.TaskGroup() as polls:
        for number in range(task.operations):
            polls.create_task(poll(number))


def _policies(*, registration: Any, redirect: Any, retry: Any, authentication: Any) -> list[Any]:
    """Return the policies of a generated client, in its order."""
    return [
        core.RequestIdPolicy(),
        core.HeadersPolicy(),
        core.UserAgentPolicy("benchmark"),
        core.ProxyPolicy(),
        core.ContentDecodePolicy(),
        registration,
        redirect,
        retry,
        authentication,
        core.CustomHookPolicy(),
        core.NetworkTraceLoggingPolicy(),
        core.DistributedTracingPolicy(),
        core.SensitiveHeaderCleanupPolicy(),
        core.HttpLoggingPolicy(),
    ]
