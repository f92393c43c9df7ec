"""Tokens from azure-identity, which is imported at the first one: it is the heaviest import."""

from typing import Any, Self

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions


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
        token: AccessToken = await self._credential().get_token(*scopes, **options)
        return token

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for `scopes`, and when to refresh it."""
        token: AccessTokenInfo = await self._credential().get_token_info(*scopes, options=options)
        return token

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

            # A step must not sleep in retries: the schedule waits instead.
            retries: dict[str, Any] = {"retry_total": 1, "retry_backoff_factor": 0.2}
            if self._managed_identity:
                self._made = ManagedIdentityCredential(client_id=self._client_id, **retries)
            else:
                self._made = DefaultAzureCredential(
                    managed_identity_client_id=self._client_id, **retries
                )
        return self._made
