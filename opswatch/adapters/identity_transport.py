"""How requests for tokens leave: past the environment's proxies if the identity is nearby."""

from typing import Any

from azure.core.pipeline.transport import AioHttpTransport

from opswatch.adapters.sessions import environment_proxies


class IdentityTransport(AioHttpTransport):  # type: ignore[misc]  # it is imported lazily
    """azure-core's transport, with the environment's proxies as `environment_proxies` has them.

    Its own reading of the environment would send requests for 127.0.0.1 to a proxy.
    """

    def __init__(self) -> None:
        super().__init__(use_env_settings=False)

    async def send(self, request: Any, **config: Any) -> Any:
        """Send `request`, through a proxy if there is one for its URL."""
        proxies = config.pop("proxies", None) or environment_proxies(request.url) or None
        return await super().send(request, proxies=proxies, **config)
