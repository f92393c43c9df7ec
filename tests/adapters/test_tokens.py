"""When a token is requested, who waits for it, and how long it is kept."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError
from hypothesis import given
from hypothesis import strategies as st

from opswatch.adapters.account import Account
from opswatch.adapters.tokens import SharedCredential, Tokens
from opswatch.config import Storage
from opswatch.health import UNREACHABLE
from tests.support.servers import answer, says, serving

SCOPE = "https://storage.azure.com/.default"
HOUR = 3600


@dataclass
class Identity:
    """Numbers its tokens, which last an hour; fails while it is down, or hangs."""

    time: float = 0.0
    is_down: bool = False
    hangs: bool = False
    longest: float = 5.0
    patience: float = 5.0
    life: int = HOUR
    refresh_in: int | None = None
    asked: list[tuple[tuple[str, ...], str | None]] = field(default_factory=list)
    is_asked_for_cae: bool = True  # each time: only such a token is challenged with claims
    times: list[float] = field(default_factory=list)
    forgotten: int = 0
    cut_off: int = 0

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        self.asked.append((scopes, (options or {}).get("claims")))
        self.is_asked_for_cae &= bool((options or {}).get("enable_cae"))
        self.times.append(self.time)
        number = len(self.asked)
        await asyncio.sleep(0)
        if self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cut_off += 1
                raise
        if self.is_down:
            raise ClientAuthenticationError("no identity here")
        now = int(self.time)
        refresh_on = None if self.refresh_in is None else now + self.refresh_in
        return AccessTokenInfo(f"token{number}", now + self.life, refresh_on=refresh_on)

    async def forget(self) -> None:
        self.forgotten += 1

    async def close(self) -> None: ...


@pytest.fixture
def identity() -> Identity:
    return Identity()


@pytest.fixture
def tokens(identity: Identity) -> Tokens:
    return Tokens(identity, SCOPE, lambda: identity.time, patience=0.05)


async def settle() -> None:
    """Let a renewal in the background come to its end."""
    for _ in range(9):
        await asyncio.sleep(0)


async def test_concurrent_callers_share_one_request(identity: Identity, tokens: Tokens) -> None:
    got = await asyncio.gather(*(tokens.get() for _ in range(10)))
    assert set(got) == {"token1"}
    assert identity.asked == [((SCOPE,), None)]
    assert identity.is_asked_for_cae


@pytest.mark.parametrize(
    ("refresh_in", "renewed_at"), [(600, 600), (3000, 3000), (None, 1800), (10, 30)]
)
async def test_token_is_renewed_in_background(
    identity: Identity, tokens: Tokens, refresh_in: int | None, renewed_at: int
) -> None:
    identity.refresh_in = refresh_in
    got = []
    for identity.time in (0, renewed_at - 1, renewed_at, renewed_at + 1):
        got.append(await tokens.get())
        await settle()
    assert got == ["token1", "token1", "token1", "token2"]  # the caller that starts it has the old
    assert identity.times == [0, renewed_at]


async def test_nobody_waits_while_old_token_lasts(identity: Identity, tokens: Tokens) -> None:
    await tokens.get()
    identity.hangs = True
    identity.time = 3000
    got = await asyncio.gather(*(tokens.get() for _ in range(250)))
    assert set(got) == {"token1"}
    assert len(identity.asked) == 2  # one try at a time
    identity.time = 3599
    assert await tokens.get() == "token1"
    await tokens.close()
    assert identity.cut_off == 1


async def test_failed_renewal_is_repeated_rarely_and_old_token_used_until_expiry(
    identity: Identity, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opswatch.adapters.tokens._SECOND_TRY", 0.0)
    await tokens.get()
    identity.is_down = True
    for identity.time in range(1800, HOUR):
        assert await tokens.get() == "token1"
        await settle()
    minutes = (HOUR - 1800) / 60
    assert len(identity.asked) == 1 + 2 * 2 * minutes  # every 30 s, twice each
    await tokens.close()
    identity.time = HOUR
    with pytest.raises(ClientAuthenticationError, match="no identity here"):
        await Tokens(identity, SCOPE, lambda: identity.time).get()


async def test_hung_identity_holds_each_caller_once(identity: Identity, tokens: Tokens) -> None:
    identity.hangs = True
    got = await asyncio.gather(*(tokens.get() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(error, ClientAuthenticationError) for error in got)
    assert "no token within 0.05 s: the identity does not answer" in str(got[0])
    assert len(identity.asked) == 1
    await tokens.close()


async def test_request_is_cut_off(identity: Identity) -> None:
    identity.hangs, identity.longest = True, 0.02
    tokens = Tokens(identity, SCOPE, lambda: identity.time)
    with pytest.raises(ClientAuthenticationError, match=r"no token within 0\.02 s"):
        await tokens.get()
    assert identity.cut_off == 1
    identity.hangs = False
    assert await tokens.get() == "token2"


async def test_slow_request_serves_the_next_caller(identity: Identity, tokens: Tokens) -> None:
    """As a developer's sign-in, which takes longer than a caller waits."""
    identity.hangs, identity.longest = True, 20
    released = asyncio.Event()

    async def answer_late(*_: str, **__: Any) -> AccessTokenInfo:
        await released.wait()
        return AccessTokenInfo("late", HOUR)

    identity.get_token_info = answer_late  # type: ignore[method-assign]
    with pytest.raises(ClientAuthenticationError):
        await tokens.get()
    released.set()
    assert await tokens.get() == "late"


async def test_failure_is_tried_twice_and_not_kept(identity: Identity, tokens: Tokens) -> None:
    identity.is_down = True
    with pytest.raises(ClientAuthenticationError):
        await Tokens(identity, SCOPE, lambda: identity.time).get()
    assert len(identity.asked) == 2
    identity.is_down = False
    assert await tokens.get() == "token3"


async def test_cancelled_caller_does_not_stop_the_request(
    identity: Identity, tokens: Tokens
) -> None:
    cancelled, waiting = (asyncio.create_task(tokens.get()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await waiting == "token1"
    assert len(identity.asked) == 1


async def test_refused_token_is_replaced_once_for_all(identity: Identity, tokens: Tokens) -> None:
    refused = await tokens.get()
    got = await asyncio.gather(*(tokens.replace(refused) for _ in range(250)))
    assert {info.token for info in got} == {"token2"}
    assert (await tokens.replace(refused)).token == "token2"  # it came late
    assert identity.forgotten == 1  # its cache has the refused one
    assert len(identity.asked) == 2


async def test_refused_replacement_is_not_replaced_at_once(
    identity: Identity, tokens: Tokens
) -> None:
    replaced = await tokens.replace(await tokens.get())
    for _ in range(9):
        assert (await tokens.replace(replaced.token)).token == "token2"
    assert len(identity.asked) == 2
    assert (await tokens.replace(replaced.token, "{}")).token == "token3"  # it lacked claims
    identity.time += 30
    assert (await tokens.replace("token3")).token == "token4"


async def test_nobody_gets_a_token_that_is_being_replaced(
    identity: Identity, tokens: Tokens
) -> None:
    replacing = asyncio.create_task(tokens.replace(await tokens.get()))
    await asyncio.sleep(0)
    assert await tokens.get() == "token2" == (await replacing).token
    assert len(identity.asked) == 2


async def test_token_for_claims_replaces_the_refused_token(
    identity: Identity, tokens: Tokens
) -> None:
    refused, claims = await tokens.get(), '{"access_token": {}}'
    assert (await tokens.replace(refused, claims)).token == "token2"
    assert await tokens.get() == "token2"
    assert identity.asked[-1] == ((SCOPE,), claims)


@pytest.mark.parametrize("token", [None, "", " ", "a b", "a\r\nHost: x", "é", 7, b"x"])
async def test_token_that_is_none_is_an_error(identity: Identity, token: Any) -> None:
    async def ask(*_: str, **__: Any) -> AccessTokenInfo:
        return AccessTokenInfo(token, HOUR)

    identity.get_token_info = ask  # type: ignore[method-assign]
    with pytest.raises(ClientAuthenticationError, match=r"cannot be read.*IDENTITY_ENDPOINT"):
        await Tokens(identity, SCOPE, lambda: identity.time).get()


async def test_sdk_clients_use_the_same_token(identity: Identity, tokens: Tokens) -> None:
    credential = SharedCredential(tokens)
    await tokens.get()
    found = await credential.get_token("any", enable_cae=True)
    assert found == ("token1", HOUR)
    assert (await credential.get_token("any", claims="{}")).token == "token2"
    assert len(identity.asked) == 2


async def test_hung_identity_holds_no_storage_call_while_a_token_lasts() -> None:
    identity = Identity(life=2**33)
    async with serving(says(answer("204 No", ETag="1"))) as server:
        account = Account(Storage(queue_uri=server.endpoint, table_uri=server.endpoint), identity)
        try:
            await account.tables.call("GET", "x")
            identity.hangs = True
            account._tokens._renew_at = 0  # type: ignore[union-attr]  # it is time
            async with asyncio.timeout(5):
                await asyncio.gather(*(account.tables.call("GET", "x") for _ in range(20)))
        finally:
            await account.close()
    assert len(identity.asked) == 2
    assert identity.cut_off == 1


def test_failure_is_one_that_the_schedule_retries() -> None:
    assert issubclass(ClientAuthenticationError, UNREACHABLE)


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans(), st.integers(1, 90_000)), max_size=30)
)
def test_any_history_asks_for_one_token_at_a_time(steps: list[tuple[int, bool, int]]) -> None:
    """While a token lasts a caller gets one at once, whatever the identity does."""

    async def run() -> None:
        identity = Identity()
        tokens = Tokens(identity, SCOPE, lambda: identity.time, patience=0.001)
        expires_at = 0.0
        for gap, hangs, life in steps:
            identity.time += gap
            identity.hangs, identity.life = hangs, life
            requests = len(identity.asked)
            got = tokens.get()
            try:
                info = await asyncio.wait_for(got, 1)
            except ClientAuthenticationError:
                assert identity.time >= expires_at
            else:
                assert info.startswith("token")
            assert len(identity.asked) <= requests + 1
            await settle()
            known = tokens._token
            expires_at = known.expires_on if known else 0.0
        await tokens.close()

    asyncio.run(run())
