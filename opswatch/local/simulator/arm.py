"""The ARM endpoint: a request in, a response out. It reads the clock but opens no socket."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

from opswatch.local.simulator.http import Request, Response, arm_error
from opswatch.local.simulator.identity import Identity, TokenStatus
from opswatch.local.simulator.operations import Operation, Operations, StatusUrl
from opswatch.local.simulator.resources import Resources, parse_resource
from opswatch.local.simulator.throttle import Buckets
from opswatch.local.simulator.timestamps import RetryAfter

_REMAINING = "x-ms-ratelimit-remaining-subscription-reads"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResponse:
    """A response, and two facts about its request for the log."""

    response: Response
    token: TokenStatus
    operation: Operation | None


class Arm:
    """Serves `/subscriptions/…` and every path that no other endpoint serves."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        identity: Identity,
        operations: Operations,
        resources: Resources,
        buckets: Buckets,
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._operations = operations
        self._resources = resources
        self._buckets = buckets

    def respond(self, request: Request) -> ArmResponse:
        """Answer one request, with the headers that every response of ARM has."""
        token = self._identity.check(request.headers.get("authorization"))
        url = self._operations.find(request.path)
        response = self._respond(request, token, url)
        request_id = str(uuid4())
        correlation_id = request.headers.get("x-ms-correlation-request-id", request_id)
        headers = {
            "Date": format_datetime(self._clock().astimezone(UTC), usegmt=True),
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "Expires": "-1",
            "X-Content-Type-Options": "nosniff",
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": correlation_id,
            "x-ms-routing-request-id": f"SIMULATOR:{correlation_id}",
        }
        return ArmResponse(
            response=replace(response, headers={**headers, **response.headers}),
            token=token,
            operation=url.operation if url else None,
        )

    def _respond(self, request: Request, token: TokenStatus, url: StatusUrl | None) -> Response:
        """Check the token, then api-version and the limit; then route by the path."""
        if token is not TokenStatus.VALID:
            return self._identity.refusal(token)
        if not request.parameters.get("api-version"):
            return arm_error(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        now = self._clock()
        subscription = [*request.path.lower().split("/"), "", ""][2]  # /subscriptions/{id}/…
        grant = self._buckets.take(subscription, now)
        if not grant.granted:
            seconds = int(grant.retry_after.total_seconds()) + 1
            name, value = RetryAfter(wait=timedelta(seconds=seconds)).header(now)
            return arm_error(
                429,
                "SubscriptionRequestsThrottled",
                "Number of read requests for subscription exceeded the limit. Please try again "
                f"after '{seconds}' seconds after additional tokens are available.",
                {name: value, _REMAINING: "0"},
            )
        if url:
            response = self._poll(request, url)
        elif resource := parse_resource(request.path):
            response = self._resources.respond(request, resource)
        else:
            message = f"The operation '{request.path}' was not found."
            response = arm_error(404, "NotFound", message)
        return response.with_header(_REMAINING, str(grant.remaining))

    def _poll(self, request: Request, url: StatusUrl) -> Response:
        if request.method != "GET":
            return arm_error(405, "MethodNotAllowed", "A status is read with GET.")
        if url.scenario.signed and request.query != url.query:
            return arm_error(403, "InvalidSignature", "The query is not the signed one.")
        reply = self._operations.poll(url)
        response = reply.response
        if reply.revoke_tokens:
            self._identity.revoke()
            challenge = self._identity.refusal(TokenStatus.REVOKED)
            return replace(challenge, delay=response.delay, cut_off=response.cut_off)
        if reply.new_url_header:
            new = self._operations.hand_over(url)
            return response.with_header(reply.new_url_header, request.origin + new.target)
        return response
