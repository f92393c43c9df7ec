import base64
import json
from datetime import timedelta

import pytest
from aiohttp import ClientSession
from azure.core import AsyncPipelineClient
from azure.core.exceptions import ClientAuthenticationError
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

from opswatch.local.simulator import ManualClock, Simulator, Verdict

Pipeline = AsyncPipelineClient[HttpRequest, AsyncHttpResponse]
SCOPE = "https://management.azure.com/.default"


@pytest.fixture
def managed(arm: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in arm.environment.items():
        monkeypatch.setenv(name, value)


# --- the protocol


async def test_a_token_is_issued_as_app_service_does(
    arm: Simulator, clock: ManualClock, anonymous: ClientSession
) -> None:
    async with anonymous.get(
        arm.identity_endpoint,
        params={
            "api-version": "2019-08-01",
            "resource": "https://vault.azure.net",
            "client_id": "me",
        },
        headers={"X-IDENTITY-HEADER": arm.identity_header},
    ) as response:
        assert response.status == 200
        body = await response.json()
    assert len(body.pop("access_token")) > 300
    assert body == {
        "expires_on": str(int((clock() + timedelta(hours=24)).timestamp())),
        "resource": "https://vault.azure.net",
        "token_type": "Bearer",
        "client_id": "me",
    }


@pytest.mark.parametrize(
    ("params", "header", "status"),
    [
        ({"api-version": "2019-08-01", "resource": "r"}, None, 401),
        ({"api-version": "2019-08-01", "resource": "r"}, "wrong", 401),
        ({"api-version": "2017-09-01", "resource": "r"}, "right", 400),
        ({"resource": "r"}, "right", 400),
        ({"api-version": "2019-08-01"}, "right", 400),
    ],
)
async def test_a_wrong_request_gets_no_token(
    arm: Simulator,
    anonymous: ClientSession,
    params: dict[str, str],
    header: str | None,
    status: int,
) -> None:
    secret = arm.identity_header if header == "right" else header
    headers = {"X-IDENTITY-HEADER": secret} if secret else {}
    async with anonymous.get(arm.identity_endpoint, params=params, headers=headers) as response:
        assert response.status == status
        assert "access_token" not in await response.json()


# --- the check


@pytest.mark.parametrize(
    "resource",
    [
        "https://management.azure.com",
        "https://management.azure.com/",
        "https://management.core.windows.net/",
        "https://management.core.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
    ],
)
def test_a_token_for_arm_is_right(clock: ManualClock, resource: str) -> None:
    identity = Simulator(clock=clock).identity
    token = identity.issue(resource)
    assert identity.judge(f"Bearer {token.text}") is Verdict.RIGHT
    assert identity.judge(f"bearer {token.text}") is Verdict.RIGHT


def test_a_token_is_right_until_it_expires(clock: ManualClock) -> None:
    identity = Simulator(clock=clock).identity
    identity.lifetime = timedelta(hours=1)
    authorization = f"Bearer {identity.issue('https://management.azure.com').text}"
    clock.advance(3599)
    assert identity.judge(authorization) is Verdict.RIGHT
    clock.advance(1)
    assert identity.judge(authorization) is Verdict.EXPIRED


def test_a_revoked_token_is_refused_and_a_new_one_is_not(clock: ManualClock) -> None:
    identity = Simulator(clock=clock).identity
    old = identity.issue("https://management.azure.com")
    identity.revoke()
    new = identity.issue("https://management.azure.com")
    assert identity.judge(f"Bearer {old.text}") is Verdict.REVOKED
    assert identity.judge(f"Bearer {new.text}") is Verdict.RIGHT


@pytest.mark.parametrize(
    ("authorization", "verdict", "code"),
    [
        (None, Verdict.MISSING, "AuthenticationFailed"),
        ("Bearer made-up", Verdict.UNKNOWN, "InvalidAuthenticationToken"),
        ("Basic {right}", Verdict.UNKNOWN, "InvalidAuthenticationToken"),
        ("{right}", Verdict.UNKNOWN, "InvalidAuthenticationToken"),
        ("Bearer {vault}", Verdict.WRONG_AUDIENCE, "InvalidAuthenticationTokenAudience"),
    ],
)
async def test_arm_refuses_what_is_not_a_right_token(
    arm: Simulator,
    anonymous: ClientSession,
    authorization: str | None,
    verdict: Verdict,
    code: str,
) -> None:
    tokens = {
        "right": arm.identity.issue("https://management.azure.com").text,
        "vault": arm.identity.issue("https://vault.azure.net").text,
    }
    headers = {"Authorization": authorization.format_map(tokens)} if authorization else {}
    started = arm.start()
    async with anonymous.get(started.url, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == code
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert arm.requests[-1].token is verdict
    assert arm.operation(started.id).polls == 0


async def test_every_arm_route_asks_for_a_token(arm: Simulator, anonymous: ClientSession) -> None:
    cache = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Cache/redisEnterprise/c"
    for method, path in [
        ("GET", "/"),
        ("GET", "/subscriptions"),
        ("PUT", cache),
        ("DELETE", cache),
    ]:
        async with anonymous.request(method, f"{arm.endpoint}{path}?api-version=1") as response:
            assert response.status == 401


async def test_a_claims_challenge_is_answered_by_a_new_token(
    arm: Simulator, clock: ManualClock, client: ClientSession
) -> None:
    started = arm.start("claims-challenge")
    statuses, challenges = [], []
    for _ in range(3):
        async with client.get(started.url) as response:
            statuses.append(response.status)
            challenges.append(response.headers.get("WWW-Authenticate", ""))
    assert statuses == [200, 401, 401]
    challenge = challenges[-1]
    assert 'error="insufficient_claims"' in challenge
    claims = challenge.partition('claims="')[2].rstrip('"')
    not_before = json.loads(base64.b64decode(claims))["access_token"]["nbf"]["value"]
    assert int(not_before) == int(clock().timestamp())
    new = arm.identity.issue("https://management.azure.com").text
    async with client.get(started.url, headers={"Authorization": f"Bearer {new}"}) as response:
        assert response.status == 200


# --- azure-identity and azure-mgmt-core, for real


@pytest.mark.usefixtures("managed")
async def test_the_managed_identity_credential_gets_a_right_token(arm: Simulator) -> None:
    async with ManagedIdentityCredential(client_id="mine") as credential:
        token = await credential.get_token(SCOPE)
    assert arm.identity.judge(f"Bearer {token.token}") is Verdict.RIGHT
    assert arm.requests[-1].token is None
    assert "client_id=mine" in arm.requests[-1].query


@pytest.mark.usefixtures("managed")
async def test_the_managed_identity_credential_fails_with_a_wrong_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    async with ManagedIdentityCredential() as credential:
        with pytest.raises(ClientAuthenticationError):
            await credential.get_token(SCOPE)


async def test_the_challenge_policy_of_azure_mgmt_core_gets_past_a_claims_challenge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Simulator() as arm:
        for name, value in arm.environment.items():
            monkeypatch.setenv(name, value)
        url = arm.start("claims-challenge").url
        async with ManagedIdentityCredential() as credential:
            policy = AsyncARMChallengeAuthenticationPolicy(credential, SCOPE)
            pipeline: Pipeline = AsyncPipelineClient(arm.endpoint, policies=[policy])
            async with pipeline:
                statuses = [await _status(pipeline, url) for _ in range(3)]
        seen = [(line.status, line.token) for line in arm.requests if line.token]
    assert statuses == [200, 200, 200]
    assert seen == [(200, "right"), (401, "right"), (200, "right"), (200, "right")]


async def _status(pipeline: Pipeline, url: str) -> int:
    request = HttpRequest("GET", url)
    response: AsyncHttpResponse = await pipeline.send_request(request, enforce_https=False)
    return response.status_code
