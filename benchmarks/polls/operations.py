"""What every poller is given: operations of an ARM that never ends them, and a token for it."""

from typing import Any, Final, Self

from azure.core.credentials import AccessToken

SCOPE = "https://management.azure.com/.default"
INTERVAL: Final = 1  # seconds between two polls of an operation
_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_TOKEN = AccessToken("eyJ0.token.signature", 2**33)


def status_path(number: int) -> str:
    """Return the path and query of the status of the operation `number`."""
    return (
        f"/subscriptions/{_SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
        f"/operationsStatus/{number:08}-0000-0000-0000-000000000000?api-version=2024-10-01"
    )


class Credential:
    """Has a token already, as an identity that was asked before."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Return it."""
        return _TOKEN

    def close(self) -> None:
        """Do nothing."""


class AsyncCredential:
    """The same, awaited."""

    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Return it."""
        return _TOKEN

    async def close(self) -> None:
        """Do nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...
