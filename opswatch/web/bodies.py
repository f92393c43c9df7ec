"""Bodies of requests: what a post and a redelivery may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opswatch.core.errors import Reason
from opswatch.core.intake import Intake, Registration
from opswatch.core.texts import from_json
from opswatch.web.http import Response
from opswatch.web.parameters import read_instant
from opswatch.web.problems import Code, ProblemError, rejected
from opswatch.web.schemas import POST, REDELIVER

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """Which settled deliveries to deliver again."""

    since: datetime | None
    until: datetime | None
    host: str | None
    dry_run: bool


def read_post(body: bytes, intake: Intake, now: datetime) -> Registration | Response:
    """Return what a posted body asks for, or the answer that refuses it.

    A text that is not JSON, or JSON's string, is one of the three forms; the types of an object's
    known properties are checked, also if another one makes them superfluous.
    """
    try:
        posted = from_json(body)
    except ValueError:
        posted = None
        is_json = False
    else:
        is_json = True
    if isinstance(posted, str):
        body = posted.encode("utf-8", "surrogatepass")
        if posted.lstrip()[:1] in ("{", "["):
            return rejected(Reason.UNKNOWN_SHAPE, "an object within a string: send the object")
    elif isinstance(posted, dict):
        for name, schema in POST["properties"].items():
            if not _fits(posted.get(name), schema):
                return rejected(Reason.UNKNOWN_SHAPE, f"'{name}' has the wrong type")
    elif is_json:
        return rejected(Reason.UNKNOWN_SHAPE, "neither a JSON object nor a string")
    read = intake.read(body, now)
    return read if isinstance(read, Registration) else rejected(read.reason, read.detail)


def read_redelivery(body: bytes, now: datetime) -> Redelivery:
    """Return what a redelivery asks for; raise `ProblemError`."""
    try:
        posted = from_json(body)
    except ValueError as error:
        raise ProblemError(Code.INVALID_BODY, f"not JSON: {error}") from error
    if not isinstance(posted, dict):
        raise ProblemError(Code.INVALID_BODY, "must be a JSON object")
    properties: Mapping[str, Mapping[str, Any]] = REDELIVER["properties"]
    if unknown := [name for name in posted if name not in properties]:
        raise ProblemError(Code.INVALID_BODY, f"{unknown[0][:64]!r} is not a property here")
    if "state" not in posted:
        raise ProblemError(Code.INVALID_BODY, "'state' is missing: \"abandoned\"")
    for name, value in posted.items():
        schema = properties[name]
        is_short = not isinstance(value, str) or (
            schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        )
        if (
            value is None
            or not _fits(value, schema)
            or not is_short
            or value not in schema.get("enum", [value])
        ):
            raise ProblemError(Code.INVALID_BODY, f"{name!r} has no usable value")
    bounds: dict[str, datetime | None] = {"since": None, "until": None}
    for name in bounds:
        if name in posted:
            try:
                bounds[name] = read_instant(posted[name], now)
            except ValueError as error:
                raise ProblemError(Code.INVALID_BODY, f"{name}: {error}") from error
    return Redelivery(**bounds, host=posted.get("host"), dry_run=posted.get("dryRun", False))


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Return whether a value has the type that a schema names; None means absent."""
    if value is None or "type" not in schema:
        return value is None or "type" not in schema
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(isinstance(value, _TYPES[name]) for name in names)
