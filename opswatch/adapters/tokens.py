"""Tokens for one scope: renewed in the background, and never waited for while one lasts."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Self

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError, ClientAuthenticationError

_SHARE_BEFORE_RENEWAL = 0.5  # of a token's life, if the identity does not say when to refresh
_BETWEEN_TRIES = 30.0  # seconds, while a token lasts: as azure-core does
_SECOND_TRY = 0.25  # seconds after a failed first one
_TOKEN = re.compile(r"[!-~]+")  # what a header can hold


class Identity(Protocol):
    """Who the app is: a credential of azure-identity's kind."""

    longest: float  # seconds that a request for a token may take
    patience: float  # seconds that a caller waits for it

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for `scopes`; raise azure-core's `AzureError`."""

    async def forget(self) -> None:
        """Drop tokens that it has cached: the service refuses them."""

    async def close(self) -> None:
        """Close its connections."""


class Tokens:
    """The tokens of an identity for one scope; closed by `close`.

    1. A token lasts: every caller gets it. From its `refresh_on` on, the first caller starts a
       renewal, for which no caller waits, and which may fail: the token is used until it expires.
    2. There is none: all callers wait for one request. They fail together if it fails, and a caller
       fails after some seconds. The schedule of its work tries again.
    3. The service has refused the token: the first caller that says so starts a request. The others
       wait for it, or get the token that has replaced the refused one in the meantime.

    There is one request at a time.
    """

    def __init__(
        self,
        identity: Identity,
        scope: str,
        clock: Callable[[], float] = time.time,
        *,
        patience: float | None = None,
    ) -> None:
        self._identity = identity
        self._scope = scope
        self._clock = clock
        self._patience = identity.patience if patience is None else patience
        self._token: AccessTokenInfo | None = None
        self._renew_at = self._replace_at = 0.0
        self._request: asyncio.Task[AccessTokenInfo] | None = None

    async def get(self) -> str:
        """Return a token; raise azure-core's `ClientAuthenticationError` if there is none."""
        return (await self.get_info()).token

    async def get_info(self) -> AccessTokenInfo:
        """Return a token with its times; raise as `get` does."""
        now, token = self._clock(), self._token
        if token is None or token.expires_on <= now:
            return await self._wait_for(self._begin())
        if now >= self._renew_at:
            self._begin()
        return token

    async def replace(self, refused: str, claims: str | None = None) -> AccessTokenInfo:
        """Return another token than `refused`, which the service did not accept; raise as `get`.

        `claims` are those of its challenge, as JSON. The identity may return the same token again;
        if the service refuses what it returned just now, it is not asked again.
        https://learn.microsoft.com/entra/identity-platform/claims-challenge
        """
        token = self._token
        if token is not None and token.token != refused:
            return token
        if token is not None and claims is None and self._clock() < self._replace_at:
            return token
        self._token = None
        return await self._wait_for(self._begin(claims, is_refused=True))

    async def close(self) -> None:
        """Give up a request that is under way."""
        if self._request is not None:
            self._request.cancel()
            with suppress(asyncio.CancelledError, AzureError):
                await self._request

    def _begin(
        self, claims: str | None = None, *, is_refused: bool = False
    ) -> "asyncio.Task[AccessTokenInfo]":
        """Return the request that is under way, or begin one."""
        if self._request is None or self._request.done():
            self._renew_at = self._clock() + _BETWEEN_TRIES  # if it fails
            self._request = asyncio.create_task(self._renew(claims, is_refused=is_refused))
            # An error of a renewal for which no caller waits is retrieved here.
            self._request.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._request

    async def _renew(self, claims: str | None, *, is_refused: bool) -> AccessTokenInfo:
        """Ask the identity for a token, twice if need be, and keep it."""
        if is_refused:
            await self._identity.forget()
        try:
            async with asyncio.timeout(self._identity.longest):
                try:
                    token = await self._ask(claims)
                except AzureError:
                    await asyncio.sleep(_SECOND_TRY)
                    token = await self._ask(claims)
        except TimeoutError:
            raise ClientAuthenticationError(_no_token_within(self._identity.longest)) from None
        now = self._clock()
        life = token.expires_on - now
        refresh_on = token.refresh_on or now + life * _SHARE_BEFORE_RENEWAL
        self._renew_at = max(refresh_on, now + _BETWEEN_TRIES)
        if is_refused:
            self._replace_at = now + _BETWEEN_TRIES
        self._token = token
        return token

    async def _ask(self, claims: str | None) -> AccessTokenInfo:
        """Ask the identity for a token, and check what it returns."""
        options: TokenRequestOptions = {"enable_cae": True}
        if claims is not None:
            options["claims"] = claims
        found = await self._identity.get_token_info(self._scope, options=options)
        token: Any = found.token  # as the identity has sent it
        if not (isinstance(token, str) and _TOKEN.fullmatch(token)):
            raise unreadable_answer("it has no token")
        return found

    async def _wait_for(self, request: "asyncio.Task[AccessTokenInfo]") -> AccessTokenInfo:
        """Wait for a request; it goes on if this caller is cancelled or fails."""
        await asyncio.wait({request}, timeout=self._patience)
        if not request.done():
            raise ClientAuthenticationError(_no_token_within(self._patience))
        if request.cancelled():
            raise ClientAuthenticationError("no token: the app is stopping")
        return request.result()


class SharedCredential:
    """`Tokens` as a credential of the SDKs' clients, which have the same scope."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def get_token(
        self,
        *scopes: str,  # noqa: ARG002 - the SDK's signature
        claims: str | None = None,
        **options: Any,  # noqa: ARG002 - the SDK's signature
    ) -> AccessToken:
        """Return a token that satisfies `claims`."""
        found = await self._tokens.get_info()
        if claims is not None:
            found = await self._tokens.replace(found.token, claims)
        return AccessToken(found.token, found.expires_on)

    async def close(self) -> None:
        """Leave the tokens open: others use them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


def unreadable_answer(why: str) -> ClientAuthenticationError:
    """Return the error for an answer of an identity that is not what it should be."""
    return ClientAuthenticationError(
        f"the identity's answer cannot be read ({why}): check that IDENTITY_ENDPOINT is what Azure "
        "has set, and restart the app"
    )


def _no_token_within(seconds: float) -> str:
    return (
        f"no token within {seconds:g} s: the identity does not answer; if this lasts, check that "
        "the app has an identity, and restart the app"
    )
