"""Tokens from azure-identity, which is imported at the first one: it is the heaviest import."""

import logging
from typing import Any, Self

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError

from opswatch.adapters.failures import clean
from opswatch.adapters.tokens import unreadable_answer

# Seconds of a request for a token, and that a caller waits for it: a developer's sign-in may have
# to start a program, which takes some seconds.
_MANAGED, _DEVELOPER = 5.0, 20.0
_MANAGED_PATIENCE, _DEVELOPER_PATIENCE = 5.0, 7.0


def credential_for(*, managed_identity: bool, client_id: str | None) -> "LazyCredential":
    """Return the identity that the app runs under: managed in Azure, the developer's elsewhere."""
    return LazyCredential(managed_identity=managed_identity, client_id=client_id)


class LazyCredential:
    """A credential of azure-identity, created when its first token is requested."""

    def __init__(self, *, managed_identity: bool, client_id: str | None) -> None:
        self._managed_identity = managed_identity
        self._client_id = client_id
        self._made: Any = None
        self.longest = _MANAGED if managed_identity else _DEVELOPER
        self.patience = _MANAGED_PATIENCE if managed_identity else _DEVELOPER_PATIENCE

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for `scopes`; raise an `AzureError` in which there is no token."""
        try:
            found: AccessTokenInfo = await self._credential().get_token_info(
                *scopes, options=options
            )
        except AzureError as error:
            raise clean(error) from None
        except Exception as error:  # it reads some answers without a check
            why = type(error).__name__
        else:
            return found
        raise unreadable_answer(why)  # here, because an `AzureError` keeps what is being handled

    async def forget(self) -> None:
        """Drop tokens that it has cached: the service refuses them."""
        await self.close()
        self._made = None

    async def close(self) -> None:
        """Close its connections."""
        if self._made is not None:
            await self._made.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _credential(self) -> Any:
        if self._made is None:
            from azure.identity.aio import (  # noqa: PLC0415 - 0.3 s, and not every process needs it
                DefaultAzureCredential,
                ManagedIdentityCredential,
            )

            from opswatch.adapters.sdk_transport import (  # noqa: PLC0415 - as azure-identity
                SdkTransport,
            )

            # It logs an answer that it cannot read, with the token in it. The failure is reported
            # by its caller.
            logger = logging.getLogger("azure.identity")
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.ERROR)
            # Without retries: `Tokens` makes one, and the schedule the others.
            options: dict[str, Any] = {"retry_total": 0, "transport": SdkTransport()}
            if self._managed_identity:
                self._made = ManagedIdentityCredential(client_id=self._client_id, **options)
            else:
                self._made = DefaultAzureCredential(
                    managed_identity_client_id=self._client_id, **options
                )
        return self._made
