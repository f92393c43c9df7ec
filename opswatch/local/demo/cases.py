"""The messages of the demo: every form, every outcome, and the expected result of each."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from opswatch.core.errors import Reason
from opswatch.core.keys import Operation, operation_from_url
from opswatch.core.watches import FinalStatus
from opswatch.local.simulator import Simulator, StartedOperation, find_script

SUBSCRIPTION = "0c6f4c25-8d1b-4d0c-9c86-2f4a1f9d7e10"
LOCATION = "West US"
_PLACE = {"subscription": SUBSCRIPTION, "location": LOCATION}

Extras = dict[str, object]
Form = Callable[[StartedOperation, Extras], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message and its expected outcome."""

    name: str
    form: str
    body: bytes
    expected: FinalStatus | Reason
    operation: Operation | None = None  # None: the message is rejected
    endpoint: str = ""  # the receiver's endpoint that gets the event
    is_accepted: bool = True  # whether that endpoint accepts the event in the end
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSpec:
    """A simulated operation, the form in which it is posted, and its expected outcome."""

    script: str
    form: str
    expected: FinalStatus = FinalStatus.SUCCEEDED
    seconds: float | None = 4.0  # None: the script's duration
    timeout: str | None = None
    endpoints: tuple[str, ...] = ("hook",)  # one message each, about the same operation
    error_code: str | None = None


def start_cases(simulator: Simulator, receiver_url: str) -> list[Case]:
    """Start one simulated operation per spec, and return the messages to post."""
    cases = []
    for number, spec in enumerate(_SPECS):
        scenario = find_script(spec.script)
        if spec.seconds is not None:
            scenario = scenario.with_duration(timedelta(seconds=spec.seconds))
        started = simulator.start(scenario, place=_PLACE)
        for endpoint in spec.endpoints:
            extras: Extras = {"kind": spec.script, "clientState": {"ticket": number}}
            if spec.timeout:
                extras["timeout"] = spec.timeout
            # The first post alone may leave it to the settings' URL, and the order is not known.
            if endpoint != "hook" or len(spec.endpoints) > 1:
                extras["callbackUrl"] = f"{receiver_url}/{endpoint}"
            case = Case(
                name=spec.script,
                form=spec.form,
                body=FORMS[spec.form](started, extras),
                expected=spec.expected,
                operation=operation_from_url(started.url),
                endpoint=endpoint,
                is_accepted=endpoint != "gone",
                error_code=spec.error_code,
            )
            cases.append(case)
    return cases


def rejected_cases() -> list[Case]:
    """Return the messages that the app rejects."""
    return [
        Case(name="rejected", form=form, body=body, expected=reason)
        for reason, form, body in _REJECTED
    ]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


FORMS: dict[str, Form] = {
    "bare ID": lambda started, _: started.id.encode(),
    "ARM path": lambda started, _: started.path.encode(),
    "absolute URL": lambda started, _: started.url.encode(),
    "JSON": lambda started, extras: _json({"operation": started.id, **extras}),
    "JSON, URL": lambda started, extras: _json({"operation": started.url, **extras}),
    "JSON, parts": lambda started, extras: _json(
        {
            "subscriptionId": SUBSCRIPTION,
            "location": LOCATION,
            "operationId": started.id,
            **extras,
        }
    ),
    "status body": lambda started, extras: _json(
        {"id": started.path, "name": started.id, "status": "InProgress", **extras}
    ),
    "base64 ID": lambda started, _: base64.b64encode(started.id.encode()),
    "base64 JSON": lambda started, extras: base64.b64encode(
        _json({"operation": started.url, **extras})
    ),
    "BOM": lambda started, _: f"\ufeff {started.url}\r\n".encode(),
}

_SPECS = (
    CaseSpec(script="succeeded", form="bare ID"),
    CaseSpec(script="succeeded", form="ARM path", seconds=7),
    CaseSpec(script="succeeded", form="absolute URL", seconds=9),
    CaseSpec(script="signed", form="absolute URL", seconds=3),
    CaseSpec(script="signed", form="base64 JSON", seconds=5),
    CaseSpec(script="succeeded", form="base64 ID", seconds=2),
    CaseSpec(script="succeeded", form="BOM", seconds=6),
    CaseSpec(script="succeeded", form="JSON", endpoints=("hook", "flaky"), seconds=3),
    CaseSpec(script="succeeded", form="JSON, parts", seconds=8),
    CaseSpec(script="redis-enterprise-create", form="status body", seconds=12),
    CaseSpec(script="redis-classic-create", form="JSON, URL", seconds=6),
    CaseSpec(script="redis-flush", form="absolute URL"),
    CaseSpec(script="redis-classic-delete", form="absolute URL"),
    CaseSpec(script="location", form="absolute URL"),
    CaseSpec(script="resource", form="absolute URL", seconds=5),
    CaseSpec(script="completed", form="bare ID"),
    CaseSpec(script="null-error", form="ARM path"),
    CaseSpec(script="handed-over", form="absolute URL", seconds=6),
    CaseSpec(script="not-found-first", form="JSON, URL"),
    CaseSpec(script="throttled", form="absolute URL", seconds=5),
    CaseSpec(script="server-error", form="absolute URL", seconds=5),
    CaseSpec(script="cut-off", form="absolute URL", seconds=5),
    CaseSpec(script="claims-challenge", form="absolute URL", seconds=5),
    CaseSpec(
        script="failed",
        form="JSON",
        expected=FinalStatus.FAILED,
        endpoints=("flaky",),
        error_code="DeploymentFailed",
    ),
    CaseSpec(
        script="failed",
        form="base64 JSON",
        expected=FinalStatus.FAILED,
        error_code="DeploymentFailed",
    ),
    CaseSpec(script="failed-no-error", form="bare ID", expected=FinalStatus.FAILED),
    CaseSpec(
        script="canceled", form="absolute URL", expected=FinalStatus.CANCELED, error_code="Canceled"
    ),
    CaseSpec(script="cancelled", form="ARM path", expected=FinalStatus.CANCELED),
    CaseSpec(
        script="never-ending",
        form="JSON",
        expected=FinalStatus.TIMED_OUT,
        seconds=None,
        timeout="PT30S",
    ),
    CaseSpec(script="forbidden", form="absolute URL", expected=FinalStatus.LOST, seconds=None),
    CaseSpec(script="succeeded", form="JSON", endpoints=("gone",), seconds=3),
)

_REJECTED = (
    (Reason.EMPTY, "white space", b" \r\n "),
    (Reason.NOT_JSON, "cut JSON", b'{"operation": '),
    (Reason.UNKNOWN_SHAPE, "JSON array", b'["6432a8f9-0fe6-4339-9303-772c92f35d02"]'),
    (Reason.INVALID_OPERATION, "prose", b"please watch my cache!"),
    (Reason.FOREIGN_HOST, "another host", b"https://attacker.example/subscriptions/s/x/y"),
    (
        Reason.INVALID_CALLBACK,
        "metadata service",
        _json({"operation": "a1", "callbackUrl": "http://169.254.169.254/metadata"}),
    ),
    (Reason.INVALID_TIMEOUT, "two years", _json({"operation": "a1", "timeout": "P100W"})),
    (Reason.TOO_LARGE, "clientState", _json({"operation": "a1", "clientState": "x" * 5000})),
)
