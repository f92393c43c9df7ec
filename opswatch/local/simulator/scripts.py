"""Scripts: named scenarios of what ARM has been observed to do, or could do."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from opswatch.local.simulator.faults import (
    ClaimsChallenge,
    CutOff,
    Fault,
    FixedReply,
    HandOver,
    Slow,
)
from opswatch.local.simulator.scenario import (
    ASYNC_OPERATIONS,
    DEPLOYMENT_STATUSES,
    OPERATION_RESULTS,
    RESOURCE_GROUP_STATUSES,
    SUBSCRIPTION_RESULTS,
    Envelope,
    Scenario,
    Style,
)
from opswatch.local.simulator.timestamps import RetryAfter, TimestampFormat, WaitForm

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
_NOT_FOUND = {"error": {"message": "The operation was not found."}}  # ARM sends it without a code

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
# Three resources of a deployment have failed; one of them says why.
_RESOURCE_FAILED = {
    "code": "ResourceDeploymentFailure",
    "target": "/subscriptions/s/resourceGroups/simulated/providers/Microsoft.Cache/Redis/cache",
    "message": "The resource write operation failed to complete successfully, because it reached "
    "terminal provisioning state 'Failed'.",
}
_DEPLOYMENT_ERROR = {
    "code": "DeploymentFailed",
    "message": "At least one resource deployment operation failed. Please list deployment "
    "operations for details. See https://aka.ms/arm-deployment-operations.",
    "details": [
        _RESOURCE_FAILED,
        {**_RESOURCE_FAILED, "details": [_DETAILED_ERROR]},
        _RESOURCE_FAILED,
    ],
}
_CACHE = {
    "id": "/subscriptions/s/resourceGroups/simulated/providers/Microsoft.Cache/Redis/cache",
    "name": "cache",
    "type": "Microsoft.Cache/Redis",
    "location": "West US",
    "properties": {"provisioningState": "Succeeded", "redisVersion": "6.0"},
}

_OUTCOMES: dict[str, Scenario] = {
    "succeeded": Scenario(ending={"status": "Succeeded", "properties": {"provisioned": True}}),
    "failed": Scenario(ending={"status": "Failed", "error": _DETAILED_ERROR}),
    "failed-no-error": Scenario(ending={"status": "Failed"}),
    "failed-null-error": Scenario(ending={"status": "Failed", "error": None}),
    "failed-empty-error": Scenario(ending={"status": "Failed", "error": {}}),
    "failed-blank-code": Scenario(
        ending={"status": "Failed", **_error(" NetcfgInvalidSubnet", "Subnet is not valid.")}
    ),
    "failed-nested-error": Scenario(
        ending={"status": "Failed", "error": {"error": _DETAILED_ERROR}}
    ),
    "failed-errors": Scenario(ending={"status": "Failed", "errors": [_DETAILED_ERROR]}),
    "timed-out": Scenario(
        ending={"status": "TimedOut", **_error("OperationTimedOut", "It took too long.")}
    ),
    "canceled": Scenario(ending={"status": "Canceled", **_error("Canceled", "It was canceled.")}),
    "cancelled": Scenario(ending={"status": "Cancelled"}),
    "completed": Scenario(ending={"status": "Completed"}),
    "beside-envelope": Scenario(ending={"status": "Completed", "manifest": {"blobCount": 1}}),
    "lower-case": Scenario(running=("inProgress",), ending={"status": "succeeded"}),
    "null-error": Scenario(ending={"status": "Succeeded", "error": None}),
    "empty-error": Scenario(ending={"status": "Succeeded", "error": {}}),
    "percent-one": Scenario(ending={"status": "Succeeded", "percentComplete": 1.0}),
    "output": Scenario(ending={"status": "Succeeded", "properties": {"output": {"vmId": "42"}}}),
    "never-ending": Scenario(duration=None),
    "bare": Scenario(envelope=Envelope.BARE),
    "unknown-words": Scenario(
        running=("Accepted", "NotStarted", "Enqueued", "Dequeued", "Creating", "inProgress")
    ),
    "percent": Scenario(percent_complete=True),
}  # fmt: skip

_PROVIDERS: dict[str, Scenario] = {
    "redis-enterprise-create": Scenario(duration=_seconds(490), early_end_time=True),
    "redis-enterprise-failed": Scenario(
        duration=_seconds(490), early_end_time=True, ending={"status": "Failed"}
    ),
    "redis-enterprise-database": Scenario(duration=_seconds(3.5), early_end_time=True),
    "redis-classic-create": Scenario(
        duration=_seconds(870), envelope=Envelope.NULLS, template=ASYNC_OPERATIONS
    ),
    "redis-classic-delete": Scenario(
        duration=_seconds(425), style=Style.LOCATION, ending=None, template=OPERATION_RESULTS
    ),
    "redis-flush": Scenario(duration=_seconds(6), style=Style.HYBRID, template=OPERATION_RESULTS),
    "group-delete": Scenario(
        style=Style.LOCATION,
        ending=None,
        template=SUBSCRIPTION_RESULTS,
        retry_after=RetryAfter(wait=_seconds(15)),
    ),
    "deployment": Scenario(running=("Accepted", "Running"), template=DEPLOYMENT_STATUSES),
    "deployment-failed": Scenario(
        running=("Accepted", "Running"),
        ending={"status": "Failed", "error": _DEPLOYMENT_ERROR},
        template=DEPLOYMENT_STATUSES,
    ),
    "group-status": Scenario(template=RESOURCE_GROUP_STATUSES),
    "group-conflict": Scenario(
        style=Style.LOCATION,
        final_code=409,
        ending={"Error": {"Code": "ScopeLocked", "Message": "The scope is locked."}},
        template=SUBSCRIPTION_RESULTS,
    ),
}

_LOCATION = Scenario(style=Style.LOCATION, ending=_CACHE, template=OPERATION_RESULTS)
_STYLES: dict[str, Scenario] = {
    "location": _LOCATION,
    "location-201": msgspec.structs.replace(_LOCATION, final_code=201),
    "location-204": msgspec.structs.replace(_LOCATION, final_code=204, ending=None),
    "location-with-status": msgspec.structs.replace(
        _LOCATION, ending={"status": "CompletedWithWarnings", "installedPatchCount": 3}
    ),
    "location-failed": msgspec.structs.replace(
        _LOCATION, final_code=409, ending={"error": _DETAILED_ERROR}
    ),
    "location-empty": msgspec.structs.replace(_LOCATION, ending=None),
    "resource": msgspec.structs.replace(_LOCATION, style=Style.RESOURCE, running=("Creating",)),
    "signed": Scenario(signed=True),
    "signed-location": msgspec.structs.replace(_LOCATION, signed=True),
}

_STAMPS = {
    f"stamp-{form.name.lower().replace('_', '-')}": Scenario(stamp=form) for form in TimestampFormat
}
_WAITS = {
    "retry-after-seconds": RetryAfter(wait=_seconds(2)),
    "retry-after-date": RetryAfter(wait=_seconds(5), form=WaitForm.DATE),
    "retry-after-ms": RetryAfter(wait=_seconds(1.5), form=WaitForm.MILLISECONDS),
    "x-ms-retry-after-ms": RetryAfter(wait=_seconds(1.5), form=WaitForm.X_MILLISECONDS),
    "retry-after-zero": RetryAfter(wait=_seconds(0)),
}

_FAULTS: dict[str, tuple[Fault, ...]] = {
    "not-found-first": (FixedReply(status=404, json=_NOT_FOUND, last_poll=2),),
    "expired": (FixedReply(status=404, json=_NOT_FOUND, from_age=_seconds(5)),),
    "gone": (FixedReply(status=410, json=_error("Gone", "It is gone."), from_age=_seconds(5)),),
    "forbidden-burst": (FixedReply(status=403, json=_FORBIDDEN, last_poll=3),),
    "forbidden": (FixedReply(status=403, json=_FORBIDDEN),),
    "unauthorized-burst": (FixedReply(status=401, json=_UNAUTHORIZED, last_poll=2),),
    "claims-challenge": (ClaimsChallenge(first_poll=2, last_poll=2),),
    "throttled": (
        FixedReply(
            status=429, json=_THROTTLED, retry_after=RetryAfter(wait=_seconds(2)), last_poll=3
        ),
    ),
    "throttled-silent": (FixedReply(status=429, json=_THROTTLED, last_poll=3),),
    "server-error": (FixedReply(status=500, json=_INTERNAL, first_poll=2, last_poll=4),),
    "unavailable": (
        FixedReply(
            status=503,
            json=_error("ServerTimeout", "The request timed out."),
            retry_after=RetryAfter(wait=_seconds(5), form=WaitForm.DATE),
            last_poll=2,
        ),
    ),
    "flaky": (
        FixedReply(status=500, json=_INTERNAL, share=0.1),
        CutOff(first_poll=2, share=0.05),
    ),
    "slow": (Slow(by=_seconds(3)),),
    "cut-off": (CutOff(last_poll=2),),
    "not-json": (FixedReply(status=200, body="This is not JSON.", last_poll=2),),
    "empty": (FixedReply(status=200, last_poll=2),),
    "no-status": (FixedReply(status=200, json={}, first_poll=2, last_poll=3),),
    "null-status": (FixedReply(status=200, json={"status": None}, last_poll=2),),
    "error-without-status": (FixedReply(status=200, json=_INTERNAL, first_poll=2, last_poll=3),),
    "no-content-once": (FixedReply(status=204, first_poll=2, last_poll=2),),
    "html": (
        FixedReply(
            status=200,
            body="<!DOCTYPE html><html><body>Our services aren't available.</body></html>",
            headers={"Content-Type": "text/html"},
            last_poll=2,
        ),
    ),
    "truncated-json": (FixedReply(status=200, body='{"id": "x", "status": "InProg', last_poll=2),),
    "json-list": (FixedReply(status=200, json=[{"status": "Succeeded"}], last_poll=2),),
    "not-utf8": (FixedReply(status=200, body='{"status": "\udcff"}', last_poll=2),),
    "bom": (FixedReply(status=200, body='\ufeff{"status": "InProgress"}', last_poll=2),),
    "handed-over": (HandOver(first_poll=2, last_poll=2),),
    "handed-over-location": (HandOver(header="Location", first_poll=2, last_poll=2),),
    "handed-to-foreign-host": (HandOver(to=_FOREIGN),),
    "redirected": (FixedReply(status=302, headers={"Location": _FOREIGN}, last_poll=2),),
    "redirected-307": (FixedReply(status=307, headers={"Location": _FOREIGN}, last_poll=2),),
}

SCRIPTS: Mapping[str, Scenario] = {
    **_OUTCOMES,
    **_PROVIDERS,
    **_STYLES,
    **_STAMPS,
    **{name: Scenario(retry_after=wait) for name, wait in _WAITS.items()},
    **{name: Scenario(faults=faults) for name, faults in _FAULTS.items()},
}


def find_script(name: str) -> Scenario:
    """Return the scenario of that name; raise a `ValueError` that lists the names."""
    try:
        return SCRIPTS[name]
    except KeyError:
        names = ", ".join(sorted(SCRIPTS))
        raise ValueError(f"{name!r} is not one of the scripts {names}") from None
