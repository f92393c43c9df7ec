"""A managed identity: issues tokens as App Service does, and checks the tokens of requests.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opswatch.local.simulator.http import Request, Response, arm_error, json_response

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


class TokenStatus(StrEnum):
    """Result of checking a request's `Authorization` header."""

    VALID = "valid"
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
    expires_at: datetime
    generation: int  # number of revocations before it was issued


_CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
)
_REFUSALS = {
    TokenStatus.MISSING: (
        "AuthenticationFailed",
        "Authentication failed. The 'Authorization' header is missing.",
    ),
    TokenStatus.UNKNOWN: ("InvalidAuthenticationToken", "The access token is invalid."),
    TokenStatus.EXPIRED: (
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time is earlier than current UTC time.",
    ),
    TokenStatus.WRONG_AUDIENCE: (
        "InvalidAuthenticationTokenAudience",
        "The access token has been obtained for wrong audience or resource.",
    ),
}


class Identity:
    """The tokens of one simulator."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.header = secrets.token_hex(16)
        self.lifetime = timedelta(hours=24)  # of tokens issued from now on
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._revocations = 0
        self._revoked_at = clock()

    def respond(self, request: Request) -> Response:
        """Answer a request for a token."""
        resource = request.parameters.get("resource")
        if request.headers.get("x-identity-header") != self.header:
            return _refusal(401, "The X-IDENTITY-HEADER is missing or wrong.")
        if request.method != "GET":
            return _refusal(405, "Tokens are read with GET.")
        if request.parameters.get("api-version") != API_VERSION:
            return _refusal(400, f"The api-version must be {API_VERSION}.")
        if not resource:
            return _refusal(400, "The parameter resource is missing.")
        token = self.issue(resource, client_id=request.parameters.get("client_id"))
        body = {
            "access_token": token.text,
            "expires_on": str(int(token.expires_at.timestamp())),
            "resource": token.resource,
            "token_type": "Bearer",
            "client_id": token.client_id,
        }
        return json_response(200, body)

    def issue(self, resource: str, *, client_id: str | None = None) -> Token:
        """Issue a token for `resource`; it has a real token's form and length."""
        audience = base64.urlsafe_b64encode(json.dumps({"aud": resource}).encode())
        claims = audience.decode().rstrip("=")
        token = Token(
            text=f"eyJ0eXAiOiJKV1QifQ.{claims}.{secrets.token_urlsafe(256)}",
            resource=resource,
            client_id=client_id or "00000000-0000-0000-0000-00000000a551",
            expires_at=self._clock() + self.lifetime,
            generation=self._revocations,
        )
        self._tokens[token.text] = token
        return token

    def revoke(self) -> None:
        """Revoke all tokens issued so far: they get a claims challenge."""
        self._revocations += 1
        self._revoked_at = self._clock()

    def check(self, authorization: str | None) -> TokenStatus:
        """Return whether `authorization` gives access to ARM, or why it does not."""
        if not authorization:
            return TokenStatus.MISSING
        scheme, _, text = authorization.partition(" ")
        token = self._tokens.get(text.strip())
        if token is None or scheme.lower() != "bearer":
            return TokenStatus.UNKNOWN
        if token.resource.rstrip("/") not in ARM_AUDIENCES:
            return TokenStatus.WRONG_AUDIENCE
        if self._clock() >= token.expires_at:
            return TokenStatus.EXPIRED
        is_current = token.generation == self._revocations
        return TokenStatus.VALID if is_current else TokenStatus.REVOKED

    def refusal(self, status: TokenStatus) -> Response:
        """Return ARM's 401 for a status that is not `VALID`.

        After a revocation it is a claims challenge, which asks for a token issued later:
        https://learn.microsoft.com/entra/identity-platform/claims-challenge
        """
        if status is not TokenStatus.REVOKED:
            code, message = _REFUSALS[status]
            challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{message}"'
            return arm_error(401, code, message, {"WWW-Authenticate": challenge})
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


def _refusal(status: int, message: str) -> Response:
    return json_response(status, {"statusCode": status, "message": message})
