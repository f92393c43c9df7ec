"""Tokens for one scope, kept until shortly before they expire."""

import asyncio
import time
from collections.abc import Callable

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError

_RENEWED_BEFORE = 300.0  # seconds before its end, as azure-core does


class Tokens:
    """The tokens of a credential for one scope; concurrent callers wait for one fetch."""

    def __init__(
        self,
        credential: AsyncTokenCredential,
        scope: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credential = credential
        self._scope = scope
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._token: AccessToken | None = None

    async def get(self) -> str:
        """Return a token; raise what the credential raises (azure-core's `AzureError`)."""
        if (token := self._lasting(_RENEWED_BEFORE)) is not None:
            return token
        async with self._fetching:
            return self._lasting(_RENEWED_BEFORE) or await self._renewed()

    async def get_for(self, claims: str) -> str:
        """Return a new token that satisfies the `claims` of a challenge, in its JSON.

        https://learn.microsoft.com/entra/identity-platform/claims-challenge
        """
        async with self._fetching:
            self._token = await self._credential.get_token(
                self._scope, claims=claims, enable_cae=True
            )
            return self._token.token

    def forget(self) -> None:
        """Drop the cached token: it was refused."""
        self._token = None

    async def _renewed(self) -> str:
        """Fetch a new token; if that fails, use the old one until it expires."""
        try:
            self._token = await self._credential.get_token(self._scope, enable_cae=True)
        except AzureError:
            if (token := self._lasting(0)) is not None:
                return token
            raise
        return self._token.token

    def _lasting(self, seconds: float) -> str | None:
        token = self._token
        return token.token if token and token.expires_on - self._clock() > seconds else None
