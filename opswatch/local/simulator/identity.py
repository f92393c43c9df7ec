"""A managed identity: issues tokens as App Service does, and knows whether a token is right.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opswatch.local.simulator.messages import Answer, Request, arm_error, json_answer

API_VERSION = "2019-08-01"
ARM_AUDIENCES = frozenset(
    f"https://management.{domain}"
    for domain in (
        "azure.com",
        "core.windows.net",
        "usgovcloudapi.net",
        "core.usgovcloudapi.net",
        "chinacloudapi.cn",
        "core.chinacloudapi.cn",
    )
)


class Verdict(StrEnum):
    """What the ARM end makes of a request's `Authorization`."""

    RIGHT = "right"
    MISSING = "missing"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    WRONG_AUDIENCE = "wrongAudience"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An issued token."""

    text: str
    resource: str
    client_id: str
    issued_at: datetime
    expires_at: datetime
    generation: int  # how many revocations came before it


class Identity:
    """The tokens of one simulator."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.header = secrets.token_hex(16)
        self.lifetime = timedelta(hours=24)  # of tokens issued from now on
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._revocations = 0
        self._revoked_at = clock()

    def respond(self, request: Request) -> Answer:
        """Answer a request for a token."""
        if request.headers.get("x-identity-header") != self.header:
            return _refusal(401, "The X-IDENTITY-HEADER is missing or wrong.")
        if request.method != "GET":
            return _refusal(405, "Tokens are read with GET.")
        if request.parameters.get("api-version") != API_VERSION:
            return _refusal(400, f"The api-version has to be {API_VERSION}.")
        resource = request.parameters.get("resource")
        if not resource:
            return _refusal(400, "The parameter resource is missing.")
        return _issued(self.issue(resource, client_id=request.parameters.get("client_id")))

    def issue(self, resource: str, *, client_id: str | None = None) -> Token:
        """Issue a token for `resource`."""
        now = self._clock()
        token = Token(
            text=_token_text(resource),
            resource=resource,
            client_id=client_id or "00000000-0000-0000-0000-00000000a551",
            issued_at=now,
            expires_at=now + self.lifetime,
            generation=self._revocations,
        )
        self._tokens[token.text] = token
        return token

    def revoke(self) -> None:
        """From now on, tokens issued so far are answered with a claims challenge."""
        self._revocations += 1
        self._revoked_at = self._clock()

    def judge(self, authorization: str | None) -> Verdict:
        """Say whether `authorization` opens ARM."""
        if not authorization:
            return Verdict.MISSING
        token = self._bearer(authorization)
        if token is None:
            return Verdict.UNKNOWN
        if token.resource.rstrip("/") not in ARM_AUDIENCES:
            return Verdict.WRONG_AUDIENCE
        if self._clock() >= token.expires_at:
            return Verdict.EXPIRED
        return Verdict.RIGHT if token.generation == self._revocations else Verdict.REVOKED

    def refusal(self, verdict: Verdict) -> Answer:
        """Return ARM's 401 for a verdict that is not `RIGHT`."""
        if verdict is Verdict.REVOKED:
            return self._claims_challenge()
        code, message = _REFUSALS[verdict]
        challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{message}"'
        return arm_error(401, code, message, {"WWW-Authenticate": challenge})

    def _bearer(self, authorization: str) -> Token | None:
        scheme, _, text = authorization.partition(" ")
        return self._tokens.get(text.strip()) if scheme.lower() == "bearer" else None

    def _claims_challenge(self) -> Answer:
        """Ask for a token issued after the revocation.

        https://learn.microsoft.com/entra/identity-platform/claims-challenge
        """
        not_before = str(int(self._revoked_at.timestamp()))
        claims = {"access_token": {"nbf": {"essential": True, "value": not_before}}}
        encoded = base64.b64encode(json.dumps(claims).encode()).decode()
        challenge = f'{_CHALLENGE}, error="insufficient_claims", claims="{encoded}"'
        return arm_error(
            401,
            "InvalidAuthenticationToken",
            "Continuous access evaluation resulted in challenge with result: InteractionRequired "
            "and code: TokenIssuedBeforeRevocationTimestamp",
            {"WWW-Authenticate": challenge},
        )


_CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
)
_REFUSALS = {
    Verdict.MISSING: (
        "AuthenticationFailed",
        "Authentication failed. The 'Authorization' header is missing.",
    ),
    Verdict.UNKNOWN: ("InvalidAuthenticationToken", "The access token is invalid."),
    Verdict.EXPIRED: (
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time is earlier than current UTC time.",
    ),
    Verdict.WRONG_AUDIENCE: (
        "InvalidAuthenticationTokenAudience",
        "The access token has been obtained for wrong audience or resource.",
    ),
}


def _token_text(resource: str) -> str:
    """Return a text that has a token's look and length, and cannot be guessed."""
    claims = base64.urlsafe_b64encode(json.dumps({"aud": resource}).encode()).decode().rstrip("=")
    return f"eyJ0eXAiOiJKV1QifQ.{claims}.{secrets.token_urlsafe(256)}"


def _issued(token: Token) -> Answer:
    return json_answer(
        200,
        {
            "access_token": token.text,
            "expires_on": str(int(token.expires_at.timestamp())),
            "resource": token.resource,
            "token_type": "Bearer",
            "client_id": token.client_id,
        },
    )


def _refusal(status: int, message: str) -> Answer:
    return json_answer(status, {"statusCode": status, "message": message})
