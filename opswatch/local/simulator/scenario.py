"""A scenario: how an operation behaves, and what a poll at a given age returns. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

import msgspec

from opswatch.local.simulator.faults import Fault, PollContext, Reply, apply_faults
from opswatch.local.simulator.http import Response, json_response
from opswatch.local.simulator.timestamps import RetryAfter, TimestampFormat

# Path templates of status URLs.
OPERATIONS_STATUS = (
    "/subscriptions/{subscription}/providers/{provider}/locations/{location}/operationsStatus/{id}"
)
ASYNC_OPERATIONS = (
    "/subscriptions/{subscription}/providers/{provider}/locations/{location}/asyncOperations/{id}"
)
OPERATION_RESULTS = (
    "/subscriptions/{subscription}/providers/{provider}/locations/{location}/operationResults/{id}"
)
SUBSCRIPTION_RESULTS = "/subscriptions/{subscription}/operationresults/{id}"
RESOURCE_GROUP_STATUSES = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}"
    "/operationStatuses/{id}"
)
DEPLOYMENT_STATUSES = (
    "/subscriptions/{subscription}/resourcegroups/{group}/providers/Microsoft.Resources/deployments"
    "/simulated/operationStatuses/{id}"
)

_EARLY_END = timedelta(seconds=1)  # Redis Enterprise sends this endTime while InProgress
_NULLABLE = ("startTime", "endTime", "percentComplete", "properties", "error")


class Style(StrEnum):
    """How a status URL reports, in the ways that ARM defines.

    https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md
    """

    STATUS = "status"  # always 200 with an envelope (Azure-AsyncOperation)
    LOCATION = "location"  # empty 202 while it runs, then `final_code` with `ending` or nothing
    HYBRID = "hybrid"  # 202 with an envelope while it runs, then 200 with one (Redis flush)
    RESOURCE = "resource"  # 200 with the resource and its properties.provisioningState


class Envelope(StrEnum):
    """The fields of a status body besides `status`."""

    FULL = "full"  # startTime, and endTime at the end
    NULLS = "nulls"  # every field present, null unless `ending` sets it (classic Redis)
    BARE = "bare"  # none


class Scenario(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What an operation does and how its status URL reports it."""

    duration: timedelta | None = timedelta(seconds=10)  # None: it never ends
    style: Style = Style.STATUS
    # Statuses while it runs, each for an equal part of the duration. If it never ends: one per
    # poll, and the last one from then on.
    running: tuple[str, ...] = ("InProgress",)
    # Merged into the final envelope. In styles without an envelope, the whole body; None: empty.
    ending: Mapping[str, object] | None = msgspec.field(
        default_factory=lambda: {"status": "Succeeded"}
    )
    final_code: int = 200
    envelope: Envelope = Envelope.FULL
    stamp: TimestampFormat = TimestampFormat.SEVEN_Z
    early_end_time: bool = False
    percent_complete: bool = False
    retry_after: RetryAfter | None = None  # sent while it runs
    faults: tuple[Fault, ...] = ()
    template: str = OPERATIONS_STATUS  # of its path
    signed: bool = False  # the URL has t, c, s and h, several KB, and is compared byte for byte

    def __post_init__(self) -> None:
        """Reject a scenario that has no status while it runs."""
        if not self.running:
            raise ValueError("running: needs at least one status")

    @property
    def succeeds(self) -> bool:
        """Whether its final status means success."""
        status = (self.ending or {}).get("status", "Succeeded")
        return str(status).lower() in {"succeeded", "completed"}

    def has_ended(self, age: timedelta) -> bool:
        """Whether it has ended at `age`."""
        return self.duration is not None and age >= self.duration

    def with_duration(self, duration: timedelta | None) -> "Scenario":
        """Return a copy with another duration (None: it never ends)."""
        return msgspec.structs.replace(self, duration=duration)

    @classmethod
    def from_json(cls, body: object) -> "Scenario":
        """Read a scenario (camelCase, spans in seconds or ISO 8601); raise `ValueError`."""
        return msgspec.convert(body, cls, strict=False)

    def to_json(self) -> dict[str, object]:
        """Write the scenario as `from_json` reads it."""
        body: dict[str, object] = msgspec.to_builtins(self)
        return body


def respond(scenario: Scenario, context: PollContext) -> Reply:
    """Return the reply to one poll."""
    ended = scenario.has_ended(context.age)
    response = _final(scenario, context) if ended else _running(scenario, context)
    return apply_faults(Reply(response=response, shows_end=ended), scenario.faults, context)


def _running(scenario: Scenario, context: PollContext) -> Response:
    duration, statuses, wait = scenario.duration, scenario.running, scenario.retry_after
    index = int(context.age / duration * len(statuses)) if duration else context.poll - 1
    status = statuses[max(0, min(index, len(statuses) - 1))]
    headers = dict([wait.header(context.now)] if wait else [])
    match scenario.style:
        case Style.LOCATION:
            return Response(status=202, headers=headers)
        case Style.RESOURCE:
            body = with_provisioning_state(scenario.ending or {}, status)
            return json_response(200, body, headers)
        case Style.STATUS | Style.HYBRID:
            body = _envelope(scenario, context, status)
            if scenario.early_end_time:
                early_end = context.started_at + min(_EARLY_END, duration or _EARLY_END)
                body["endTime"] = scenario.stamp.write(early_end)
            if scenario.percent_complete:
                percent = round(100 * context.age / duration, 1) if duration else 0
                body["percentComplete"] = percent
            return json_response(200 if scenario.style is Style.STATUS else 202, body, headers)
        case _:
            assert_never(scenario.style)


def _final(scenario: Scenario, context: PollContext) -> Response:
    if scenario.style in (Style.LOCATION, Style.RESOURCE):
        if scenario.ending is None:
            return Response(status=scenario.final_code)
        return json_response(scenario.final_code, scenario.ending)
    body = _envelope(scenario, context, "Succeeded")
    if scenario.envelope is Envelope.FULL and scenario.duration is not None:
        body["endTime"] = scenario.stamp.write(context.started_at + scenario.duration)
    if scenario.percent_complete:
        body["percentComplete"] = 100
    return json_response(scenario.final_code, body | dict(scenario.ending or {}))


def _envelope(scenario: Scenario, context: PollContext, status: str) -> dict[str, object]:
    body: dict[str, object] = {
        "id": context.path,
        "name": context.operation_id,
        "status": status,
    }
    match scenario.envelope:
        case Envelope.FULL:
            return body | {"startTime": scenario.stamp.write(context.started_at)}
        case Envelope.NULLS:
            return body | dict.fromkeys(_NULLABLE)
        case Envelope.BARE:
            return {"status": status}
        case _:
            assert_never(scenario.envelope)


def with_provisioning_state(resource: Mapping[str, object], state: object) -> dict[str, object]:
    """Return `resource` with `state` as its properties.provisioningState."""
    given = resource.get("properties")
    properties = dict(given) if isinstance(given, Mapping) else {}
    return {**resource, "properties": {**properties, "provisioningState": state}}
