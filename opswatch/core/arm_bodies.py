"""The body of an answer of ARM: its words for a state, its envelope, and what is an error."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

from opswatch.core.arm_errors import read_error
from opswatch.core.texts import cut

FinalWord = Literal["Succeeded", "Failed", "Canceled"]
# "Terminal states": exactly Succeeded, Failed and Canceled. Some providers send the others, which
# azure-core polls without end.
_FINAL: dict[str, FinalWord] = {
    "succeeded": "Succeeded",
    "success": "Succeeded",
    "completed": "Succeeded",
    "failed": "Failed",
    "failure": "Failed",
    "error": "Failed",
    "aborted": "Failed",
    "timedout": "Failed",  # Microsoft.Web
    "canceled": "Canceled",
    "cancelled": "Canceled",
}
# Seen while an operation runs. At a Location URL any other word is part of the result.
_RUNNING = frozenset(
    {
        "accepted", "canceling", "cancelling", "creating", "deleting", "dequeued", "enqueued",
        "executing", "initializing", "inprogress", "notstarted", "pending", "preparing",
        "processing", "provisioning", "queued", "registering", "resolving", "running", "scheduled",
        "started", "starting", "submitted", "updating", "validating", "waiting",
    }
)  # fmt: skip
# A provisioningState such as ResolvingDNS or InfrastructureCreating.
_IN_PROGRESS = re.compile(r"ing(?![a-z])|InProgress")
ENVELOPE = (
    "id", "name", "status", "startTime", "endTime", "percentComplete", "properties", "resourceId",
)  # fmt: skip
ENVELOPE_FOLDED = frozenset(name.lower() for name in ENVELOPE)
_ERROR_LISTS = frozenset({"errors", "odata.error"})


def final_word(status: str) -> FinalWord | None:
    """Return the end that ARM's word `status` means; None if the operation is running."""
    return _FINAL.get(status.lower())


def is_running_word(status: str) -> bool:
    """Return whether `status` is a known word for an operation that is running."""
    return status.lower() in _RUNNING


def is_running_state(state: str) -> bool:
    """Return whether a `provisioningState` is one of a resource that is being changed."""
    return is_running_word(state) or _IN_PROGRESS.search(state) is not None


def is_spelled_alike(text: object, path: str) -> bool:
    """Return whether `text` is `path` in another spelling: case, escapes, spaces, a slash."""
    if not isinstance(text, str):
        return False
    first, second = ("".join(unquote(t).lower().rstrip("/").split()) for t in (text, path))
    return first == second != ""


def provisioning_state(body: Any) -> str:
    """Return the `provisioningState` of a resource or of its `properties`; empty without one."""
    for holder in (body, body.get("properties")) if isinstance(body, dict) else ():
        if isinstance(holder, dict):
            state = fold(holder, ("provisioningState",)).get("provisioningState")
            if isinstance(state, str) and state.strip():
                return state.strip()
    return ""


def is_error(body: Any) -> bool:
    """Return whether a body is an error: it has an `error`, or both `code` and `message`.

    A result may have `errors`: they count if the body has nothing else.
    """
    if not isinstance(body, dict):
        return False
    fields = fold(body, ("error", "code", "message"))
    if fields.get("error") or (fields.get("code") and fields.get("message")):
        return True
    return {name.lower() for name in body} <= _ERROR_LISTS and read_error(body) is not None


def resource_id(fields: Mapping[str, Any]) -> str | None:
    """Return the `resourceId` of an envelope, cut to what a column can hold."""
    value = fields.get("resourceId")
    return cut(value.strip()) or None if isinstance(value, str) else None


def fold(body: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the properties `names` of a body; a name in another case counts if there is none."""
    folded: dict[str, Any] = {}
    for name, value in body.items():
        folded.setdefault(name.lower(), value)
    return {
        name: body[name] if name in body else folded[name.lower()]
        for name in names
        if name.lower() in folded
    }


def percent(value: object) -> float | None:
    """Return a `percentComplete` from 0 to 100; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 100 and math.isfinite(value) else None  # noqa: PLR2004
