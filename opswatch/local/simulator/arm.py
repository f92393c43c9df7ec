"""The ARM end: a request in, an answer out. It reads the clock, and touches no socket."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

from opswatch.local.simulator.faults import with_header
from opswatch.local.simulator.identity import Identity, Verdict
from opswatch.local.simulator.messages import Answer, Request, arm_error
from opswatch.local.simulator.operations import Operation, Operations, StatusUrl
from opswatch.local.simulator.resources import Resources, parse_resource
from opswatch.local.simulator.stamps import RetryAfter
from opswatch.local.simulator.throttle import Buckets, Grant

_REMAINING = "x-ms-ratelimit-remaining-subscription-reads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer, and what the request log says of the request."""

    answer: Answer
    verdict: Verdict
    operation: Operation | None


class Arm:
    """Everything below `/subscriptions`, and every path that nobody knows."""

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

    def respond(self, request: Request) -> Seen:
        """Answer one request."""
        verdict = self._identity.judge(request.headers.get("authorization"))
        url = self._operations.find(request.path)
        answer = self._answer(request, verdict, url)
        return Seen(
            answer=_traced(answer, request, self._clock()),
            verdict=verdict,
            operation=url.operation if url else None,
        )

    def _answer(self, request: Request, verdict: Verdict, url: StatusUrl | None) -> Answer:
        """Look at the token first, then at api-version and limits, then at what is asked."""
        if verdict is not Verdict.RIGHT:
            return self._identity.refusal(verdict)
        if not request.parameters.get("api-version"):
            return _missing_version()
        now = self._clock()
        grant = self._buckets.take(_subscription(request.path), now)
        if not grant.granted:
            return _throttled(grant, now)
        answer = self._status(request, url) if url else self._resource(request)
        return with_header(answer, _REMAINING, str(grant.remaining))

    def _status(self, request: Request, url: StatusUrl) -> Answer:
        if request.method != "GET":
            return arm_error(405, "MethodNotAllowed", "A status is read with GET.")
        if url.life.signed and request.query != url.query:
            return arm_error(403, "InvalidSignature", "The query is not the one that was signed.")
        told = self._operations.poll(url)
        if told.challenge:
            self._identity.revoke()
            challenge = self._identity.refusal(Verdict.REVOKED)
            return replace(challenge, delay=told.answer.delay, cut=told.answer.cut)
        if told.hand_over:
            new = self._operations.hand_over(url)
            return with_header(told.answer, told.hand_over, request.origin + new.target)
        return told.answer

    def _resource(self, request: Request) -> Answer:
        name = parse_resource(request.path)
        if name is None:
            return arm_error(404, "NotFound", f"The operation '{request.path}' was not found.")
        return self._resources.respond(request, name)


def _missing_version() -> Answer:
    return arm_error(
        400,
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
    )


def _throttled(grant: Grant, now: datetime) -> Answer:
    seconds = int(grant.retry_after.total_seconds()) + 1
    name, value = RetryAfter(wait=timedelta(seconds=seconds)).header(now)
    return arm_error(
        429,
        "SubscriptionRequestsThrottled",
        "Number of read requests for subscription exceeded the limit. "
        f"Please try again after '{seconds}' seconds after additional tokens are available.",
        {name: value, _REMAINING: "0"},
    )


def _subscription(path: str) -> str:
    segments = path.lower().split("/")
    return segments[2] if len(segments) > 2 else ""  # noqa: PLR2004 - "", subscriptions, id


def _traced(answer: Answer, request: Request, now: datetime) -> Answer:
    """Add the headers that every answer of ARM has."""
    request_id = str(uuid4())
    correlation = request.headers.get("x-ms-correlation-request-id", request_id)
    common = {
        "Date": format_datetime(now.astimezone(UTC), usegmt=True),
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Expires": "-1",
        "X-Content-Type-Options": "nosniff",
        "x-ms-request-id": request_id,
        "x-ms-correlation-request-id": correlation,
        "x-ms-routing-request-id": f"SIMULATOR:{correlation}",
    }
    return replace(answer, headers={**common, **answer.headers})
