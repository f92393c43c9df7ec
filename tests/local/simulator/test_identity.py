import base64
import json
from datetime import timedelta

import pytest
from azure.core import AsyncPipelineClient
from azure.core.exceptions import ClientAuthenticationError
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

from opswatch.local.simulator import Simulator, TokenStatus
from tests.local.simulator.harness import Harness, ManualClock

Pipeline = AsyncPipelineClient[HttpRequest, AsyncHttpResponse]
ARM = "https://management.azure.com"
SCOPE = f"{ARM}/.default"
VERSION = {"api-version": "2019-08-01"}


@pytest.fixture
def managed(arm: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in arm.environment.items():
        monkeypatch.setenv(name, value)


# --- the protocol


async def test_token_is_issued_as_app_service_does(arm: Harness) -> None:
    asked = {"resource": "https://vault.azure.net", "client_id": "me"}
    params, headers = VERSION | asked, {"X-IDENTITY-HEADER": arm.identity_header}
    async with arm.anonymous.get(arm.identity_endpoint, params=params, headers=headers) as response:
        assert response.status == 200
        body = await response.json()
    assert len(body.pop("access_token")) > 300
    expires_on = str(int((arm.clock() + timedelta(hours=24)).timestamp()))
    assert body == {"expires_on": expires_on, "token_type": "Bearer", **asked}


@pytest.mark.parametrize(
    ("params", "header", "status"),
    [
        (VERSION | {"resource": "r"}, None, 401),
        (VERSION | {"resource": "r"}, "wrong", 401),
        ({"api-version": "2017-09-01", "resource": "r"}, "valid", 400),
        ({"resource": "r"}, "valid", 400),
        (VERSION, "valid", 400),
    ],
)
async def test_invalid_request_gets_no_token(
    arm: Harness, params: dict[str, str], header: str | None, status: int
) -> None:
    secret = arm.identity_header if header == "valid" else header
    headers = {"X-IDENTITY-HEADER": secret} if secret else {}
    async with arm.anonymous.get(arm.identity_endpoint, params=params, headers=headers) as response:
        assert response.status == status
        assert "access_token" not in await response.json()


# --- the check


@pytest.mark.parametrize(
    "resource",
    [
        ARM,
        f"{ARM}/",
        "https://management.core.windows.net/",
        "https://management.core.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
    ],
)
def test_token_for_arm_is_valid(clock: ManualClock, resource: str) -> None:
    identity = Simulator(clock=clock).identity
    token = identity.issue(resource)
    assert identity.check(f"Bearer {token.text}") is TokenStatus.VALID
    assert identity.check(f"bearer {token.text}") is TokenStatus.VALID


def test_token_is_valid_until_it_expires(clock: ManualClock) -> None:
    identity = Simulator(clock=clock).identity
    identity.lifetime = timedelta(hours=1)
    authorization = f"Bearer {identity.issue(ARM).text}"
    clock.advance(3599)
    assert identity.check(authorization) is TokenStatus.VALID
    clock.advance(1)
    assert identity.check(authorization) is TokenStatus.EXPIRED


def test_revocation_leaves_later_tokens_valid(clock: ManualClock) -> None:
    identity = Simulator(clock=clock).identity
    old = identity.issue(ARM)
    identity.revoke()
    new = identity.issue(ARM)
    assert identity.check(f"Bearer {old.text}") is TokenStatus.REVOKED
    assert identity.check(f"Bearer {new.text}") is TokenStatus.VALID


@pytest.mark.parametrize(
    ("authorization", "token_status", "code"),
    [
        (None, TokenStatus.MISSING, "AuthenticationFailed"),
        ("Bearer made-up", TokenStatus.UNKNOWN, "InvalidAuthenticationToken"),
        ("Basic {valid}", TokenStatus.UNKNOWN, "InvalidAuthenticationToken"),
        ("{valid}", TokenStatus.UNKNOWN, "InvalidAuthenticationToken"),
        ("Bearer {vault}", TokenStatus.WRONG_AUDIENCE, "InvalidAuthenticationTokenAudience"),
    ],
)
async def test_arm_refuses_invalid_token(
    arm: Harness, authorization: str | None, token_status: TokenStatus, code: str
) -> None:
    tokens = {
        "valid": arm.identity.issue(ARM).text,
        "vault": arm.identity.issue("https://vault.azure.net").text,
    }
    headers = {"Authorization": authorization.format_map(tokens)} if authorization else {}
    started = arm.start()
    async with arm.anonymous.get(started.url, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == code
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert arm.requests[-1].token is token_status
    assert arm.operation(started.id).polls == 0


async def test_every_arm_route_requires_a_token(arm: Harness) -> None:
    cache = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Cache/redisEnterprise/c"
    for method, path in (
        ("GET", "/"),
        ("GET", "/subscriptions"),
        ("PUT", cache),
        ("DELETE", cache),
    ):
        async with arm.anonymous.request(method, f"{arm.endpoint}{path}?api-version=1") as response:
            assert response.status == 401


async def test_new_token_satisfies_claims_challenge(arm: Harness) -> None:
    started = arm.start("claims-challenge")
    statuses, challenges = [], []
    for _ in range(3):
        async with arm.client.get(started.url) as response:
            statuses.append(response.status)
            challenges.append(response.headers.get("WWW-Authenticate", ""))
    assert statuses == [200, 401, 401]
    challenge = challenges[-1]
    assert 'error="insufficient_claims"' in challenge
    claims = challenge.partition('claims="')[2].rstrip('"')
    not_before = json.loads(base64.b64decode(claims))["access_token"]["nbf"]["value"]
    assert int(not_before) == int(arm.clock().timestamp())
    new = arm.identity.issue(ARM).text
    async with arm.client.get(started.url, headers={"Authorization": f"Bearer {new}"}) as response:
        assert response.status == 200


# --- the real azure-identity and azure-mgmt-core


@pytest.mark.usefixtures("managed")
async def test_managed_identity_credential_gets_valid_token(arm: Harness) -> None:
    async with ManagedIdentityCredential(client_id="mine") as credential:
        token = await credential.get_token(SCOPE)
    assert arm.identity.check(f"Bearer {token.token}") is TokenStatus.VALID
    assert arm.requests[-1].token is None
    assert "client_id=mine" in arm.requests[-1].query


@pytest.mark.usefixtures("managed")
async def test_managed_identity_credential_fails_with_wrong_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    async with ManagedIdentityCredential() as credential:
        with pytest.raises(ClientAuthenticationError):
            await credential.get_token(SCOPE)


async def test_azure_mgmt_core_policy_handles_claims_challenge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Simulator() as arm:  # by the real clock, because azure-identity caches by it
        for name, value in arm.environment.items():
            monkeypatch.setenv(name, value)
        url = arm.start("claims-challenge").url
        async with ManagedIdentityCredential() as credential:
            policy = AsyncARMChallengeAuthenticationPolicy(credential, SCOPE)
            pipeline: Pipeline = AsyncPipelineClient(arm.endpoint, policies=[policy])
            async with pipeline:
                for _ in range(3):
                    request = HttpRequest("GET", url)
                    response = await pipeline.send_request(request, enforce_https=False)
                    assert response.status_code == 200
        seen = [(entry.status, entry.token) for entry in arm.requests if entry.token]
    assert seen == [(200, "valid"), (401, "valid"), (200, "valid"), (200, "valid")]
