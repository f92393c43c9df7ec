"""When a token is requested, and how long it is kept."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from opswatch.adapters.tokens import Tokens

SCOPE = "https://storage.azure.com/.default"


@dataclass
class Credential:
    """Numbers its tokens, which last an hour; fails while it is down."""

    time: float = 0.0
    is_down: bool = False
    asked: list[tuple[tuple[str, ...], Any]] = field(default_factory=list)

    async def get_token(self, *scopes: str, claims: str | None = None, **_: Any) -> AccessToken:
        self.asked.append((scopes, claims))
        await asyncio.sleep(0)
        if self.is_down:
            raise ClientAuthenticationError("no identity here")
        return AccessToken(f"token {len(self.asked)}", int(self.time) + 3600)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


@pytest.fixture
def credential() -> Credential:
    return Credential()


@pytest.fixture
def tokens(credential: Credential) -> Tokens:
    return Tokens(credential, SCOPE, lambda: credential.time)


async def test_concurrent_callers_share_one_request(credential: Credential, tokens: Tokens) -> None:
    got = await asyncio.gather(*(tokens.get() for _ in range(10)))
    assert set(got) == {"token 1"}
    assert credential.asked == [((SCOPE,), None)]


async def test_token_is_kept_until_shortly_before_expiry(
    credential: Credential, tokens: Tokens
) -> None:
    got = []
    for credential.time in (0, 3299, 3300, 3301, 6599, 6600):
        got.append(await tokens.get())
    assert got == ["token 1", "token 1", "token 2", "token 2", "token 2", "token 3"]


async def test_token_is_used_until_expiry_without_successor(
    credential: Credential, tokens: Tokens
) -> None:
    await tokens.get()
    credential.is_down = True
    credential.time = 3599
    assert await tokens.get() == "token 1"
    credential.time = 3600
    with pytest.raises(ClientAuthenticationError):
        await tokens.get()
    credential.is_down = False
    assert await tokens.get() == f"token {len(credential.asked)}"


async def test_failure_is_not_kept(credential: Credential, tokens: Tokens) -> None:
    credential.is_down = True
    with pytest.raises(ClientAuthenticationError):
        await tokens.get()
    credential.is_down = False
    assert await tokens.get() == "token 2"


async def test_refused_token_is_not_kept(tokens: Tokens) -> None:
    assert await tokens.get() == "token 1"
    tokens.forget()
    assert await tokens.get() == "token 2"


async def test_token_for_claims_replaces_the_refused_token(
    credential: Credential, tokens: Tokens
) -> None:
    await tokens.get()
    assert await tokens.get_for('{"access_token": {}}') == "token 2"
    assert await tokens.get() == "token 2"
    assert credential.asked[-1] == ((SCOPE,), '{"access_token": {}}')
