"""Tokens from azure-identity, which is imported at the first one: it is the heaviest import."""

import logging
from collections.abc import Awaitable
from typing import Any, Self, TypeVar

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError, ClientAuthenticationError

from opswatch.adapters.failures import clean

T = TypeVar("T")


def credential_for(*, managed_identity: bool, client_id: str | None) -> "LazyCredential":
    """Return the identity that the app runs under: managed in Azure, the developer's elsewhere."""
    return LazyCredential(managed_identity=managed_identity, client_id=client_id)


class LazyCredential:
    """A credential of azure-identity, created when its first token is requested."""

    def __init__(self, *, managed_identity: bool, client_id: str | None) -> None:
        self._managed_identity = managed_identity
        self._client_id = client_id
        self._made: Any = None

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for `scopes`; raise azure-core's `ClientAuthenticationError`."""
        return await _readable(self._credential().get_token(*scopes, **options))

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for `scopes`, and when to refresh it."""
        return await _readable(self._credential().get_token_info(*scopes, options=options))

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

            # It logs an answer that it cannot read, with the token in it. The failure is reported
            # by its caller.
            logger = logging.getLogger("azure.identity")
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.ERROR)
            # A step must not sleep in retries: the schedule waits instead.
            retries: dict[str, Any] = {"retry_total": 1, "retry_backoff_factor": 0.2}
            if self._managed_identity:
                self._made = ManagedIdentityCredential(client_id=self._client_id, **retries)
            else:
                self._made = DefaultAzureCredential(
                    managed_identity_client_id=self._client_id, **retries
                )
        return self._made


async def _readable(answer: Awaitable[T]) -> T:
    """Return a token; raise an `AzureError` without the answer, in which there may be one."""
    try:
        return await answer
    except AzureError as error:
        raise clean(error) from None
    except Exception as error:  # it reads some answers without a check
        unreadable = type(error).__name__
    raise ClientAuthenticationError(f"the identity's answer cannot be read ({unreadable})")
