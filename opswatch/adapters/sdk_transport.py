"""azure-core's transport, for azure-identity and the clients of the SDKs: it sleeps in no retry."""

from typing import Any

from azure.core.pipeline.transport import AioHttpTransport

from opswatch.adapters.sessions import environment_proxies

_WAITS = ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms")


class SdkTransport(AioHttpTransport):  # type: ignore[misc]  # it is imported lazily
    """Hides from the SDKs' retries how long a service wants them to wait, and finds proxies.

    A retry would sleep for a minute inside a function if the service says so, and hold what waits
    for it. Without that it backs off as it is configured, and the schedule waits instead.

    Azure-core's own reading of the environment would send requests for 127.0.0.1 to a proxy.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(use_env_settings=False, **options)

    async def send(self, request: Any, **config: Any) -> Any:
        """Send `request`, through a proxy if there is one for its URL."""
        proxies = config.pop("proxies", None) or environment_proxies(request.url) or None
        response = await super().send(request, proxies=proxies, **config)
        for name in _WAITS:
            response.headers.pop(name, None)
        return response
