"""Callbacks as receivers get them: an example of every event, and what each answer leads to."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from opswatch.core import webhook
from opswatch.core.arm_errors import read_error
from opswatch.core.deliveries import new_delivery
from opswatch.core.http import CallbackRequest, HttpResponse, Layer, NoAnswer
from opswatch.core.intake import CALLBACK_ENDS
from opswatch.core.keys import operation_from_url
from opswatch.core.policy import DEFAULT_CALLBACK_SCHEDULE, Policy
from opswatch.core.watches import End, FinalStatus, OperationFacts, Result
from opswatch.core.webhook import Secret
from tests.docs.markdown import Table

SECRET = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")  # of the specification
_BEGAN = datetime(2026, 11, 23, 2, 57, 30, tzinfo=UTC)
_ENDED = datetime(2026, 11, 23, 3, 5, 40, tzinfo=UTC)
_SUBSCRIPTION = "/subscriptions/9a9b5f8d-2f2b-4f3c-8e6d-0123456789ab"
_OPERATION = operation_from_url(
    f"https://management.azure.com{_SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
    "/operationsStatus/6432a8f9-0fe6-4339-9303-772c92f35d02?api-version=2024-10-01"
)
_CALLBACK = "https://example.com/hook"
_DELIVERY = new_delivery(_OPERATION.key, _CALLBACK, _ENDED, Policy())
_FACTS = OperationFacts(
    operation=_OPERATION,
    registered_at=_BEGAN,
    deadline_at=_BEGAN + timedelta(hours=24),
    kind="redisEnterprise/create",
    resource_id=(
        f"{_SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Cache/redisEnterprise/cache-1"
    ),
    start_time=_BEGAN,
    last_miss="503 ServerBusy: The server is busy.",
    client_state='{"ticket":42}',
)
_ERROR = {
    "code": "ResourceDeploymentFailure",
    "message": "The resource operation completed with terminal provisioning state 'Failed'.",
    "details": [{"code": "ZonesNotAvailable", "message": "No capacity in zone 3."}],
}
# What is special about the example of each end: of the end itself.
_ENDS: dict[FinalStatus, dict[str, Any]] = {
    FinalStatus.SUCCEEDED: {
        "end_time": _ENDED,
        "result": '{"provisioningState":"Succeeded","accessKeys":{"primaryKey":"c2VjcmV0"}}',
    },
    FinalStatus.FAILED: {"end_time": _ENDED, "error": read_error({"error": _ERROR})},
    FinalStatus.CANCELED: {"end_time": _ENDED},
    FinalStatus.TIMED_OUT: {"last_status": "InProgress"},
    FinalStatus.LOST: {"lost_reason": "404 OperationNotFound: The operation is not found."},
}


def events() -> list[bytes]:
    """Return an example of each event."""
    results = [
        Result(facts=_FACTS, end=End(status=FinalStatus(name), finished_at=_ENDED, **_ENDS[name]))
        for name in map(FinalStatus, CALLBACK_ENDS)
    ]
    made = [webhook.event(result, _DELIVERY.delivery_id) for result in results]
    return [*made, webhook.sample_event("msg_5f0c1b7e2d9a4c36a8e1f4b09d3c7a62", _ENDED)]


def examples() -> str:
    """Return the headings and bodies of all events."""
    parts = []
    for body in events():
        event = json.loads(body)
        text = json.dumps(event, indent=2, ensure_ascii=False)
        parts.append(f"#### `{event['type']}`\n\n```json\n{text}\n```\n")
    return "\n".join(parts)


def first_request() -> CallbackRequest:
    """Return the request of a first attempt."""
    return webhook.request(_CALLBACK, _DELIVERY.delivery_id, events()[0], (SECRET,), _ENDED)


def headers() -> Table:
    """Return the headers of a request."""
    rows = tuple((f"`{name}`", f"`{value}`") for name, value in first_request().headers.items())
    return Table(("header", "example", "meaning"), rows)


def members(part: str) -> Table:
    """Return the members of an event, or of its `data`."""
    names: dict[str, None] = {}
    for event in map(json.loads, events()):
        names |= dict.fromkeys(event[part] if part else event)
    return Table(("member", "meaning"), tuple((f"`{name}`",) for name in names))


def _outcome(reply: webhook.Reply) -> str:
    match reply:
        case webhook.Accepted():
            return "delivered"
        case webhook.Final():
            return "abandoned at once"
        case webhook.Unacceptable():
            return f"abandoned after {webhook.MAX_UNACCEPTABLE} attempts"
        case webhook.Failed(floor=floor) if floor:
            return f"retried on the schedule, but not before {_span(floor)}"
        case webhook.Failed():
            return "retried on the schedule"


def _span(delay: timedelta) -> str:
    seconds = int(delay.total_seconds())
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and not seconds % length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _codes(codes: list[int]) -> str:
    """Return codes, a whole class of them as 2xx."""
    if len(codes) == 100:
        return f"{codes[0] // 100}xx"
    return ", ".join(map(str, codes))


def answers() -> Table:
    """Return what each answer of a receiver leads to."""
    by_outcome: dict[str, list[int]] = {}
    for code in range(200, 600):
        reply = webhook.read_answer(HttpResponse(code, {}), _ENDED)
        by_outcome.setdefault(_outcome(reply), []).append(code)
    most = max(by_outcome, key=lambda outcome: len(by_outcome[outcome]))
    others = by_outcome.pop(most)
    assert {302, 500, 503} <= set(others)
    rows = [(_codes(codes), outcome) for outcome, codes in by_outcome.items()]
    rows.append(("any other status", most))
    abort = HttpResponse(500, {"webhook-delivery": "abort-message"})
    aborted = _outcome(webhook.read_answer(abort, _ENDED))
    rows.append(("any but 2xx, with the header `webhook-delivery: abort-message`", aborted))
    for layer in get_args(Layer):
        if layer not in ("http", "token"):  # of an answer; of ARM
            reply = webhook.read_answer(NoAnswer(layer, ""), _ENDED)
            rows.append((f"none ({layer})", _outcome(reply)))
    return Table(("answer", "what opswatch does", "remark"), tuple(rows))


def schedule() -> str:
    """Return the delays before the attempts."""
    delays = ", ".join(map(_span, DEFAULT_CALLBACK_SCHEDULE))
    whole = sum(DEFAULT_CALLBACK_SCHEDULE, timedelta(0))
    return (
        f"The delays before the {len(DEFAULT_CALLBACK_SCHEDULE)} attempts are {delays}: "
        f"{whole.total_seconds() / 86_400:.1f} days in all."
    )
