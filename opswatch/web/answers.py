"""What each route answers: one function for each, over queries and steps."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from opswatch.core.deliveries import DeliveryState
from opswatch.core.keys import Key
from opswatch.core.summary import Summary, last_hours
from opswatch.core.watches import FinalStatus, Result, Watch
from opswatch.dated import Span
from opswatch.health import Check
from opswatch.lists import DeliveryFilter, list_deliveries, list_kinds, list_rejections
from opswatch.ports import Page, Services
from opswatch.queries import (
    REGISTERED,
    OperationFilter,
    OperationView,
    get_deliveries,
    get_operation,
    list_operations,
)
from opswatch.steps.control import StopOutcome, redeliver_all, redeliver_due, stop
from opswatch.steps.register import register
from opswatch.web import shown
from opswatch.web.bodies import read_post, read_redelivery
from opswatch.web.http import Request, Response, json_response
from opswatch.web.parameters import DEFAULT_PAGE, VERSION, Parameter, read_query
from opswatch.web.problems import Code, ProblemError, problem

T = TypeVar("T")
Checks = Callable[[], Awaitable[Sequence[Check]]]  # of the health, as they are known

LONGEST_RETRY_AFTER = 15  # seconds
LONGEST_SEARCH = timedelta(days=30)  # for the beginning of an ID
_OLDEST = 3  # retentions: how far back a list looks at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose route and parameters are known."""

    services: Services
    request: Request
    now: datetime
    path: dict[str, str]
    query: dict[str, Any]
    checks: Checks

    @classmethod
    def read(
        cls,
        request: Request,
        path: dict[str, str],
        parameters: Sequence[Parameter],
        services: Services,
        now: datetime,
        checks: Checks,
    ) -> Self:
        """Read the query of a request to a route with these parameters; raise `ProblemError`."""
        query = read_query(request.query, (*parameters, VERSION), now)
        return cls(
            services=services, request=request, now=now, path=path, query=query, checks=checks
        )

    @property
    def key(self) -> Key:
        """The operation that the path names."""
        return Key(self.path["subscription"].lower(), self.path["key"])

    def span(self) -> Span:
        """Return from when to when a list goes: back to what is not purged yet."""
        retention = self.services.policy.retention
        since = self.query.get("since", self.now - retention)
        return Span(
            since=max(since, self.now - _OLDEST * retention),
            until=self.query.get("until", self.now + timedelta(minutes=1)),
        )


# --- operations


async def post_operation(call: Call) -> Response:
    """Register an operation; its first poll is made by a wake-up, not here."""
    read = read_post(call.request.body, call.services.intake, call.now)
    if isinstance(read, Response):
        return read
    key = await register(call.services, read, call.now)
    view = await get_operation(call.services.store, key)
    if view is None:  # it was purged between the two
        raise ProblemError(Code.OPERATION_NOT_FOUND)
    url = operation_url(call.request, key)
    headers = {
        "location": f"{url}/result",
        "operation-location": f"{url}/status",
        "retry-after": str(retry_after(view, call.now) or 1),
    }
    return json_response(shown.operation(view), HTTPStatus.ACCEPTED, headers)


async def get_operations(call: Call) -> Response:
    """List operations."""
    query, span = call.query, call.span()
    since = span.since
    if "operation" in query and "since" not in query:
        since = call.now - LONGEST_SEARCH
    state = query.get("state")
    wanted = OperationFilter(
        since=since,
        until=query.get("until"),
        statuses=query.get("status", ()),
        is_watching=None if state is None else state == "watching",
        operation=query.get("operation"),
        subscriptions=query.get("subscription", ()),
        providers=query.get("provider", ()),
        locations=tuple("".join(name.split()) for name in query.get("location", ())),
        kinds=query.get("kind", ()),
        resource=query.get("resource"),
    )
    continuation = query.get("continuation")
    store, limit = call.services.store, _limit(call)
    listing = list_operations(store, wanted, call.now, limit=limit, continuation=continuation)
    return await _page(call, listing, shown.listed_operation)


async def get_one(call: Call) -> Response:
    """Return an operation with its deliveries."""
    view = await _view(call)
    return json_response(shown.operation(view), headers=_retry_header(view, call.now))


async def get_status(call: Call) -> Response:
    """Return an operation in ARM's own shape, for pollers of `Operation-Location`."""
    view = await _view(call)
    row = shown.operation(view)
    body = {
        "id": view.facts.operation.path,
        "status": _arm_status(view),
        "percentComplete": row.get("percentComplete"),
        "startTime": row.get("startTime"),
        "endTime": row.get("endTime") or row.get("finishedAt"),
        "resourceId": row.get("resourceId"),
        "error": _arm_error(view, row),
        "properties": row,
    }
    return json_response(body, headers=_retry_header(view, call.now))


async def get_result(call: Call) -> Response:
    """Return 202 until the operation has ended, for pollers of `Location`; then the operation."""
    view = await _view(call)
    seconds = retry_after(view, call.now)
    if seconds is None:
        return json_response(shown.operation(view))
    headers = {
        "location": f"{operation_url(call.request, call.key)}/result",
        "retry-after": str(seconds),
    }
    return json_response(shown.operation(view), HTTPStatus.ACCEPTED, headers)


async def stop_operation(call: Call) -> Response:
    """Stop watching an operation."""
    if await stop(call.services, call.key) is StopOutcome.UNKNOWN:
        raise ProblemError(Code.OPERATION_NOT_FOUND)
    view = await _view(call)
    if view.status != FinalStatus.STOPPED:
        return problem(Code.OPERATION_ENDED, f"it has ended: {view.status}")
    return json_response(shown.operation(view))


async def redeliver_operation(call: Call) -> Response:
    """Send the deliveries of an operation that have not arrived, or the one that is named."""
    await _view(call)
    wanted = call.query.get("delivery")
    if wanted is not None:
        known = await get_deliveries(call.services.store, call.key)
        if wanted not in (each.delivery_id for each in known):
            raise ProblemError(Code.DELIVERY_NOT_FOUND)
    sent = await redeliver_due(call.services, call.key, wanted)
    return json_response({"value": [shown.delivery(each) for each in sent]}, HTTPStatus.ACCEPTED)


# --- lists beside operations


async def get_delivery_list(call: Call) -> Response:
    """List deliveries."""
    states = call.query.get("state")
    wanted = DeliveryFilter(
        span=call.span(),
        states=tuple(map(DeliveryState, states)) if states else tuple(DeliveryState),
        hosts=call.query.get("host", ()),
    )
    store, continuation = call.services.store, call.query.get("continuation")
    listing = list_deliveries(store, wanted, _limit(call), continuation)
    return await _page(call, listing, shown.delivery)


async def redeliver_many(call: Call) -> Response:
    """Deliver abandoned deliveries again, or count them."""
    read = read_redelivery(call.request.body, call.now)
    span = call.span()
    wanted = DeliveryFilter(
        span=Span(since=max(read.since or span.since, span.since), until=read.until or span.until),
        states=(DeliveryState.ABANDONED,),
        hosts=(read.host,) if read.host else (),
    )
    count, has_more = await redeliver_all(call.services, wanted, dry_run=read.dry_run)
    return json_response(
        {"count": count, **({"more": True} if has_more else {})}, HTTPStatus.ACCEPTED
    )


async def get_rejections(call: Call) -> Response:
    """List rejected posts."""
    store, reasons = call.services.store, call.query.get("reason", ())
    continuation = call.query.get("continuation")
    listing = list_rejections(store, call.span(), reasons, _limit(call), continuation)
    return await _page(call, listing, shown.rejection)


async def get_kinds(call: Call) -> Response:
    """List kinds."""
    known = await list_kinds(call.services.store)
    return json_response({"value": shown.kinds(known, await _summary(call))})


async def get_summary(call: Call) -> Response:
    """Return what needs attention: one point read."""
    return json_response(shown.summary(await _summary(call)))


async def _summary(call: Call) -> Summary:
    row = await call.services.store.summary.get(Summary().key)
    return row.value if row else Summary(hours=last_hours((), call.now))


# --- health


async def get_health(call: Call) -> Response:
    """Return the verdict alone."""
    status = "healthy" if all(check.is_good for check in await call.checks()) else "unhealthy"
    is_good = status == "healthy"
    code = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
    return json_response({"status": status}, code)


async def get_health_details(call: Call) -> Response:
    """Return the verdict on each dependency, and what to do."""
    checks = await call.checks()
    is_good = all(check.is_good for check in checks)
    body = {
        "status": "healthy" if is_good else "unhealthy",
        "checks": [
            {"topic": check.topic, "isGood": check.is_good, "text": check.text} for check in checks
        ],
    }
    return json_response(body, HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE)


# --- what several share


def operation_url(request: Request, key: Key) -> str:
    """Return the absolute URL of an operation."""
    return f"{request.base}/operations/{key.partition}/{key.row}"


def retry_after(view: OperationView, now: datetime) -> int | None:
    """Return the seconds to the next poll, 1 to 15; None if the operation has ended."""
    if isinstance(view.live, Result):
        return None
    seconds = math.ceil((view.live.due_at - now).total_seconds())
    return max(1, min(seconds, LONGEST_RETRY_AFTER))


def _retry_header(view: OperationView, now: datetime) -> dict[str, str]:
    seconds = retry_after(view, now)
    return {} if seconds is None else {"retry-after": str(seconds)}


async def _view(call: Call) -> OperationView:
    view = await get_operation(call.services.store, call.key)
    if view is None:
        raise ProblemError(Code.OPERATION_NOT_FOUND)
    return view


def _arm_status(view: OperationView) -> str:
    match view.live:
        case Watch():
            return "NotStarted" if view.status == REGISTERED else "Running"
        case Result(end=end):
            match end.status:
                case FinalStatus.TIMED_OUT | FinalStatus.LOST:
                    return "Failed"
                case FinalStatus.STOPPED:
                    return "Canceled"
                case status:
                    return status.value


def _arm_error(view: OperationView, row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error in ARM's shape: its own, or what an end of ours is called."""
    match view.live:
        case Result(end=end) if end.error is not None:
            error = row.get("errorJson")
            if isinstance(error, dict):
                return error
            return {"code": end.error.code, "message": row.get("errorMessage")}
        case Result(end=end) if end.status is FinalStatus.TIMED_OUT:
            message = "it was watched until its deadline, and had not ended"
            return {"code": "OperationTimedOut", "message": message}
        case Result(end=end) if end.status is FinalStatus.LOST:
            message = f"its status can no longer be read: {row.get('lostReason', 'unknown')}"
            return {"code": "OperationLost", "message": message}
        case Result(end=end) if end.status is FinalStatus.STOPPED:
            message = "a user ended the watch; the operation itself may go on"
            return {"code": "OperationStopped", "message": message}
        case _:
            return None


def _limit(call: Call) -> int:
    limit: int = call.query.get("maxpagesize", DEFAULT_PAGE)
    return limit


async def _page(
    call: Call, listing: Awaitable[Page[T]], show: Callable[[T], dict[str, Any]]
) -> Response:
    """Return a page of a list, with an absolute link to the next one if there is one."""
    try:
        page = await listing
    except ValueError as error:
        if "continuation" not in call.query:
            raise
        raise ProblemError(Code.INVALID_PARAMETER, f"continuation: {error}") from error
    body: dict[str, Any] = {"value": [show(value) for value in page.values]}
    if page.continuation is not None:
        given = [(name, text) for name, text in call.request.query if name != "continuation"]
        query = urlencode([*given, ("continuation", page.continuation)])
        body["nextLink"] = f"{call.request.base}/{call.request.path}?{query}"
    return json_response(body)
