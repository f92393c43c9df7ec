"""What the demo posts: every form of a message, every outcome, and what must come of each."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from opswatch.core.model import FinalStatus, Operation, Reason
from opswatch.core.wire import operation_at
from opswatch.local.simulator import Simulator, StartedOperation, find_script

SUBSCRIPTION = "0c6f4c25-8d1b-4d0c-9c86-2f4a1f9d7e10"
LOCATION = "West US"
_PLACE = {"subscription": SUBSCRIPTION, "location": LOCATION}

Extras = dict[str, object]
Form = Callable[[StartedOperation, Extras], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message, and what must come of it."""

    name: str
    form: str
    body: bytes
    expected: FinalStatus | Reason
    operation: Operation | None = None  # None: it is rejected
    door: str = ""  # of the receiver, at which its event must arrive
    is_taken: bool = True  # whether the receiver takes it in the end
    code: str | None = None  # of its error


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A simulated life, the form in which it is posted, and its end."""

    script: str
    form: str
    expected: FinalStatus = FinalStatus.SUCCEEDED
    seconds: float | None = 4.0  # None: as the script has it
    timeout: str | None = None
    doors: tuple[str, ...] = ("hook",)
    code: str | None = None


def accepted(simulator: Simulator, receiver_url: str) -> list[Case]:
    """Start one simulated operation for each story, and return what to post about it."""
    return [
        case
        for number, story in enumerate(_STORIES)
        for case in _told(story, number, simulator, receiver_url)
    ]


def rejected() -> list[Case]:
    """Return the messages that cannot be accepted."""
    return [
        Case(name="rejected", form=form, body=body, expected=reason)
        for reason, form, body in _REJECTED
    ]


def _told(story: Story, number: int, simulator: Simulator, receiver_url: str) -> list[Case]:
    """Return one case for each door: a second message adds a receiver to the same operation."""
    life = find_script(story.script)
    if story.seconds is not None:
        life = life.with_duration(timedelta(seconds=story.seconds))
    started = simulator.start(life, place=_PLACE)
    return [
        Case(
            name=story.script,
            form=story.form,
            body=FORMS[story.form](started, _extras(story, number, door, receiver_url)),
            expected=story.expected,
            operation=operation_at(started.url),
            door=door,
            is_taken=door != "gone",
            code=story.code,
        )
        for door in story.doors
    ]


def _extras(story: Story, number: int, door: str, receiver_url: str) -> Extras:
    extras: Extras = {"kind": story.script, "clientState": {"ticket": number}}
    if story.timeout:
        extras["timeout"] = story.timeout
    if door != "hook":  # which is the default of the settings
        extras["callbackUrl"] = f"{receiver_url}/{door}"
    return extras


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

_STORIES = (
    Story(script="succeeded", form="bare ID"),
    Story(script="succeeded", form="ARM path", seconds=7),
    Story(script="succeeded", form="absolute URL", seconds=9),
    Story(script="signed", form="absolute URL", seconds=3),
    Story(script="signed", form="base64 JSON", seconds=5),
    Story(script="succeeded", form="base64 ID", seconds=2),
    Story(script="succeeded", form="BOM", seconds=6),
    Story(script="succeeded", form="JSON", doors=("hook", "flaky"), seconds=3),
    Story(script="succeeded", form="JSON, parts", seconds=8),
    Story(script="redis-enterprise-create", form="status body", seconds=12),
    Story(script="redis-classic-create", form="JSON, URL", seconds=6),
    Story(script="redis-flush", form="absolute URL"),
    Story(script="redis-classic-delete", form="absolute URL"),
    Story(script="location", form="absolute URL"),
    Story(script="resource", form="absolute URL", seconds=5),
    Story(script="completed", form="bare ID"),
    Story(script="null-error", form="ARM path"),
    Story(script="handed-over", form="absolute URL", seconds=6),
    Story(script="not-found-first", form="JSON, URL"),
    Story(script="throttled", form="absolute URL", seconds=5),
    Story(script="server-error", form="absolute URL", seconds=5),
    Story(script="cut-off", form="absolute URL", seconds=5),
    Story(script="claims-challenge", form="absolute URL", seconds=5),
    Story(
        script="failed",
        form="JSON",
        expected=FinalStatus.FAILED,
        doors=("flaky",),
        code="DeploymentFailed",
    ),
    Story(
        script="failed",
        form="base64 JSON",
        expected=FinalStatus.FAILED,
        code="DeploymentFailed",
    ),
    Story(script="failed-no-error", form="bare ID", expected=FinalStatus.FAILED),
    Story(script="canceled", form="absolute URL", expected=FinalStatus.CANCELED, code="Canceled"),
    Story(script="cancelled", form="ARM path", expected=FinalStatus.CANCELED),
    Story(
        script="never-ending",
        form="JSON",
        expected=FinalStatus.TIMED_OUT,
        seconds=None,
        timeout="PT30S",
    ),
    Story(script="forbidden", form="absolute URL", expected=FinalStatus.LOST, seconds=None),
    Story(script="succeeded", form="JSON", doors=("gone",), seconds=3),
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
