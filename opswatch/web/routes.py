"""The one table of routes: the router, the OpenAPI document and their tests read it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

from opswatch.web import answers
from opswatch.web import parameters as p
from opswatch.web.answers import Call
from opswatch.web.http import Response
from opswatch.web.parameters import Parameter
from opswatch.web.problems import Code

OK, ACCEPTED = HTTPStatus.OK, HTTPStatus.ACCEPTED
# What the parts of a path may be: the keys of an operation are URL-safe as they are.
PATH_PARTS = {
    "subscription": r"[A-Za-z0-9._-]{1,64}",
    "key": r"[A-Za-z0-9._~-]{1,512}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path; GET is HEAD, too."""

    method: str
    path: str  # below the prefix, such as operations/{subscription}/{key}
    name: str
    summary: str
    function: str  # of the function app: whose key opens it
    answer: Callable[[Call], Awaitable[Response]] | None = None  # None: without the services
    parameters: tuple[Parameter, ...] = ()
    body: str | None = None  # the schema of a body that is JSON
    answers: Mapping[int, str] = field(default_factory=dict)  # status -> schema
    codes: tuple[Code, ...] = ()  # of problems, besides those of every route

    @property
    def pattern(self) -> re.Pattern[str]:
        """What a path must match."""
        parts = re.split(r"\{(\w+)\}", self.path)
        return re.compile(
            "".join(
                f"(?P<{part}>{PATH_PARTS[part]})" if number % 2 else re.escape(part)
                for number, part in enumerate(parts)
            ),
            re.ASCII,
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the route answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


_PAGED = (p.PAGE_SIZE, p.CONTINUATION)
_ONE = "operations/{subscription}/{key}"
_UNKNOWN = (Code.OPERATION_NOT_FOUND,)

ROUTES = (
    Route(
        method="POST",
        path="operations",
        name="postOperation",
        summary="Watch an operation",
        function="write",
        answer=answers.post_operation,
        body="Post",
        answers={ACCEPTED: "Operation"},
    ),
    Route(
        method="GET",
        path="operations",
        name="listOperations",
        summary="List operations, newest first",
        function="read",
        answer=answers.get_operations,
        parameters=(
            p.STATE, p.STATUS, p.OPERATION, p.SUBSCRIPTION, p.PROVIDER, p.LOCATION, p.KIND,
            p.RESOURCE, p.SINCE, p.UNTIL, *_PAGED,
        ),
        answers={OK: "OperationPage"},
    ),
    Route(
        method="GET",
        path=_ONE,
        name="getOperation",
        summary="An operation with its deliveries",
        function="read",
        answer=answers.get_one,
        answers={OK: "Operation"},
        codes=_UNKNOWN,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/status",
        name="getOperationStatus",
        summary="An operation in ARM's shape, for pollers of Operation-Location",
        function="read",
        answer=answers.get_status,
        answers={OK: "OperationStatus"},
        codes=_UNKNOWN,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/result",
        name="getOperationResult",
        summary="202 until the operation has ended, for pollers of Location",
        function="read",
        answer=answers.get_result,
        answers={OK: "Operation", ACCEPTED: "Operation"},
        codes=_UNKNOWN,
    ),
    Route(
        method="POST",
        path=f"{_ONE}/stop",
        name="stopOperation",
        summary="Stop watching; the operation itself goes on",
        function="write",
        answer=answers.stop_operation,
        answers={OK: "Operation"},
        codes=(*_UNKNOWN, Code.OPERATION_ENDED),
    ),
    Route(
        method="POST",
        path=f"{_ONE}/redeliver",
        name="redeliverOperation",
        summary="Send the deliveries that have not arrived, or the one that is named",
        function="write",
        answer=answers.redeliver_operation,
        parameters=(p.DELIVERY,),
        answers={ACCEPTED: "Deliveries"},
        codes=(*_UNKNOWN, Code.DELIVERY_NOT_FOUND),
    ),
    Route(
        method="GET",
        path="deliveries",
        name="listDeliveries",
        summary="List deliveries: the pending ones, then the settled ones, newest first",
        function="read",
        answer=answers.get_delivery_list,
        parameters=(p.DELIVERY_STATES, p.HOST, p.SINCE, p.UNTIL, *_PAGED),
        answers={OK: "DeliveryPage"},
    ),
    Route(
        method="POST",
        path="deliveries/redeliver",
        name="redeliverDeliveries",
        summary="Deliver abandoned deliveries again, at most 1000 a request, or count them",
        function="write",
        answer=answers.redeliver_many,
        body="Redeliver",
        answers={ACCEPTED: "Count"},
        codes=(Code.INVALID_BODY,),
    ),
    Route(
        method="GET",
        path="rejections",
        name="listRejections",
        summary="List the posts that were rejected, the newest day first",
        function="read",
        answer=answers.get_rejections,
        parameters=(p.SINCE, p.REASON, *_PAGED),
        answers={OK: "RejectionPage"},
    ),
    Route(
        method="GET",
        path="kinds",
        name="listKinds",
        summary="What is learned of each kind, and how many of its operations run",
        function="read",
        answer=answers.get_kinds,
        answers={OK: "Kinds"},
    ),
    Route(
        method="GET",
        path="summary",
        name="getSummary",
        summary="What needs attention, and counts by hour, as counted last",
        function="read",
        answer=answers.get_summary,
        answers={OK: "Summary"},
    ),
    Route(
        method="GET",
        path="health",
        name="getHealth",
        summary="The verdict alone, for probes",
        function="health",
        answer=answers.get_health,
        answers={OK: "Health", HTTPStatus.SERVICE_UNAVAILABLE: "Health"},
    ),
    Route(
        method="GET",
        path="health/details",
        name="getHealthDetails",
        summary="The verdict on each dependency, and what to do",
        function="read",
        answer=answers.get_health_details,
        answers={OK: "HealthDetails", HTTPStatus.SERVICE_UNAVAILABLE: "HealthDetails"},
    ),
    Route(
        method="GET",
        path="openapi.json",
        name="getOpenApi",
        summary="This document",
        function="read",
        answers={OK: ""},
    ),
)  # fmt: skip


def find_routes(path: str) -> list[tuple[Route, dict[str, str]]]:
    """Return the routes of a path as it was sent, of any method, and the path's parts."""
    found = []
    for route in ROUTES:
        match = route.pattern.fullmatch(unquote(path))
        if match is not None:
            found.append((route, match.groupdict()))
    return found
