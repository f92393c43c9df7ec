"""Named lives: what ARM has been seen to do, or could, each under the name that starts it."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from opswatch.local.simulator.faults import ClaimsChallenge, CutOff, Fault, HandOver, Reply, Slow
from opswatch.local.simulator.life import Envelope, Life, Style
from opswatch.local.simulator.paths import (
    ASYNC_OPERATIONS,
    OPERATION_RESULTS,
    RESOURCE_GROUP_STATUSES,
    SUBSCRIPTION_RESULTS,
)
from opswatch.local.simulator.stamps import RetryAfter, Stamp, WaitForm

_FOREIGN = "https://attacker.example/subscriptions/s/operationsStatus/stolen?api-version=2024-10-01"


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def _error(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message}}


_THROTTLED = _error(
    "SubscriptionRequestsThrottled",
    "Number of read requests for subscription exceeded the limit. Please try again after "
    "'2' seconds after additional tokens are available.",
)
_INTERNAL = _error("InternalServerError", "Encountered internal server error.")
_FORBIDDEN = _error(
    "AuthorizationFailed",
    "The client does not have authorization to perform action "
    "'Microsoft.Cache/locations/operationsStatus/read' over scope or the scope is invalid. If "
    "access was recently granted, please refresh your credentials.",
)
_UNAUTHORIZED = _error("InvalidAuthenticationToken", "The access token is invalid.")
_NOT_FOUND = {"error": {"message": "The operation was not found."}}  # without a code, as seen

_DETAILED_ERROR = {
    "code": "DeploymentFailed",
    "message": "At least one resource deployment operation failed.",
    "target": "/subscriptions/s/resourceGroups/simulated",
    "details": [
        {
            "code": "Conflict",
            "message": "The cluster could not be created.",
            "details": [
                {"code": "SkuNotAvailable", "message": "Balanced_B5 is not available in westus."}
            ],
        }
    ],
    "additionalInfo": [
        {"type": "PolicyViolation", "info": {"policyDefinitionDisplayName": "Allowed locations"}}
    ],
}
_CACHE = {
    "id": "/subscriptions/s/resourceGroups/simulated/providers/Microsoft.Cache/Redis/cache",
    "name": "cache",
    "type": "Microsoft.Cache/Redis",
    "location": "West US",
    "properties": {"provisioningState": "Succeeded", "redisVersion": "6.0"},
}

_OUTCOMES: dict[str, Life] = {
    "succeeded": Life(ending={"status": "Succeeded", "properties": {"provisioned": True}}),
    "failed": Life(ending={"status": "Failed", "error": _DETAILED_ERROR}),
    "failed-no-error": Life(ending={"status": "Failed"}),
    "failed-null-error": Life(ending={"status": "Failed", "error": None}),
    "failed-empty-error": Life(ending={"status": "Failed", "error": {}}),
    "failed-blank-code": Life(
        ending={"status": "Failed", **_error(" NetcfgInvalidSubnet", "Subnet is not valid.")}
    ),
    "canceled": Life(ending={"status": "Canceled", **_error("Canceled", "It was canceled.")}),
    "cancelled": Life(ending={"status": "Cancelled"}),
    "completed": Life(ending={"status": "Completed"}),
    "lower-case": Life(running=("inProgress",), ending={"status": "succeeded"}),
    "null-error": Life(ending={"status": "Succeeded", "error": None}),
    "empty-error": Life(ending={"status": "Succeeded", "error": {}}),
    "percent-one": Life(ending={"status": "Succeeded", "percentComplete": 1.0}),
    "output": Life(ending={"status": "Succeeded", "properties": {"output": {"vmId": "42"}}}),
    "never-ending": Life(duration=None),
    "bare": Life(envelope=Envelope.BARE),
    "unknown-words": Life(
        running=("Accepted", "NotStarted", "Enqueued", "Dequeued", "Creating", "inProgress")
    ),
    "percent": Life(percent_complete=True),
}  # fmt: skip

_PROVIDERS: dict[str, Life] = {
    "redis-enterprise-create": Life(duration=_seconds(490), early_end_time=True),
    "redis-enterprise-failed": Life(
        duration=_seconds(490), early_end_time=True, ending={"status": "Failed"}
    ),
    "redis-enterprise-database": Life(duration=_seconds(3.5), early_end_time=True),
    "redis-classic-create": Life(
        duration=_seconds(870), envelope=Envelope.NULLS, template=ASYNC_OPERATIONS
    ),
    "redis-classic-delete": Life(
        duration=_seconds(425), style=Style.LOCATION, ending=None, template=OPERATION_RESULTS
    ),
    "redis-flush": Life(duration=_seconds(6), style=Style.HYBRID, template=OPERATION_RESULTS),
    "group-delete": Life(
        style=Style.LOCATION,
        ending=None,
        template=SUBSCRIPTION_RESULTS,
        retry_after=RetryAfter(wait=_seconds(15)),
    ),
    "group-status": Life(template=RESOURCE_GROUP_STATUSES),
    "group-conflict": Life(
        style=Style.LOCATION,
        final_code=409,
        ending={"Error": {"Code": "ScopeLocked", "Message": "The scope is locked."}},
        template=SUBSCRIPTION_RESULTS,
    ),
}

_LOCATION = Life(style=Style.LOCATION, ending=_CACHE, template=OPERATION_RESULTS)
_STYLES: dict[str, Life] = {
    "location": _LOCATION,
    "location-201": msgspec.structs.replace(_LOCATION, final_code=201),
    "location-204": msgspec.structs.replace(_LOCATION, final_code=204, ending=None),
    "location-empty": msgspec.structs.replace(_LOCATION, ending=None),
    "resource": msgspec.structs.replace(_LOCATION, style=Style.RESOURCE, running=("Creating",)),
    "signed": Life(signed=True),
    "signed-location": msgspec.structs.replace(_LOCATION, signed=True),
}

_STAMPS = {f"stamp-{form.name.lower().replace('_', '-')}": Life(stamp=form) for form in Stamp}
_WAITS = {
    "retry-after-seconds": RetryAfter(wait=_seconds(2)),
    "retry-after-date": RetryAfter(wait=_seconds(5), form=WaitForm.DATE),
    "retry-after-ms": RetryAfter(wait=_seconds(1.5), form=WaitForm.MILLISECONDS),
    "x-ms-retry-after-ms": RetryAfter(wait=_seconds(1.5), form=WaitForm.X_MILLISECONDS),
    "retry-after-zero": RetryAfter(wait=_seconds(0)),
}

_FAULTS: dict[str, tuple[Fault, ...]] = {
    "not-found-first": (Reply(status=404, json=_NOT_FOUND, last_poll=2),),
    "expired": (Reply(status=404, json=_NOT_FOUND, from_age=_seconds(5)),),
    "gone": (Reply(status=410, json=_error("Gone", "It is gone."), from_age=_seconds(5)),),
    "forbidden-burst": (Reply(status=403, json=_FORBIDDEN, last_poll=3),),
    "forbidden": (Reply(status=403, json=_FORBIDDEN),),
    "unauthorized-burst": (Reply(status=401, json=_UNAUTHORIZED, last_poll=2),),
    "claims-challenge": (ClaimsChallenge(first_poll=2, last_poll=2),),
    "throttled": (
        Reply(status=429, json=_THROTTLED, retry_after=RetryAfter(wait=_seconds(2)), last_poll=3),
    ),
    "throttled-silent": (Reply(status=429, json=_THROTTLED, last_poll=3),),
    "server-error": (Reply(status=500, json=_INTERNAL, first_poll=2, last_poll=4),),
    "unavailable": (
        Reply(
            status=503,
            json=_error("ServerTimeout", "The request timed out."),
            retry_after=RetryAfter(wait=_seconds(5), form=WaitForm.DATE),
            last_poll=2,
        ),
    ),
    "flaky": (
        Reply(status=500, json=_INTERNAL, share=0.1),
        CutOff(first_poll=2, share=0.05),
    ),
    "slow": (Slow(by=_seconds(3)),),
    "cut-off": (CutOff(last_poll=2),),
    "not-json": (Reply(status=200, body="This is not JSON.", last_poll=2),),
    "empty": (Reply(status=200, last_poll=2),),
    "html": (
        Reply(
            status=200,
            body="<!DOCTYPE html><html><body>Our services aren't available.</body></html>",
            headers={"Content-Type": "text/html"},
            last_poll=2,
        ),
    ),
    "truncated-json": (Reply(status=200, body='{"id": "x", "status": "InProg', last_poll=2),),
    "json-list": (Reply(status=200, json=[{"status": "Succeeded"}], last_poll=2),),
    "not-utf8": (Reply(status=200, body='{"status": "\udcff"}', last_poll=2),),
    "bom": (Reply(status=200, body='\ufeff{"status": "InProgress"}', last_poll=2),),
    "handed-over": (HandOver(first_poll=2, last_poll=2),),
    "handed-over-location": (HandOver(header="Location", first_poll=2, last_poll=2),),
    "handed-to-stranger": (HandOver(to=_FOREIGN),),
    "redirected": (Reply(status=302, headers={"Location": _FOREIGN}, last_poll=2),),
    "redirected-307": (Reply(status=307, headers={"Location": _FOREIGN}, last_poll=2),),
}

SCRIPTS: Mapping[str, Life] = {
    **_OUTCOMES,
    **_PROVIDERS,
    **_STYLES,
    **_STAMPS,
    **{name: Life(retry_after=wait) for name, wait in _WAITS.items()},
    **{name: Life(faults=faults) for name, faults in _FAULTS.items()},
}


def find_script(name: str) -> Life:
    """Return the life of that name; raise `ValueError` that lists the names."""
    try:
        return SCRIPTS[name]
    except KeyError:
        raise ValueError(f"{name!r} is none of the scripts {', '.join(sorted(SCRIPTS))}") from None


def lasting(life: Life, duration: timedelta | None) -> Life:
    """Return `life` with another duration (None: never-ending)."""
    return msgspec.structs.replace(life, duration=duration)
