"""Errors in ARM's answers, in all the shapes that providers give them; nothing of one is lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opswatch.core.texts import JsonText, from_json, to_json

# The names of an error's members, in the spelling of the contract, by the spellings seen.
_CODE = ("code", "errorcode")
_MESSAGE = ("message", "errormessage", "statusmessage")
_NAMES = {name.lower(): name for name in ("target", "details", "additionalInfo")}
# Members of an answer that hold its error, in the order in which they are believed.
_HOLDERS = ("error", "errors", "odata.error")
_MOST_LEVELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmError:
    """An ARM error."""

    code: str | None = None  # the first one found, from outside
    message: str | None = None
    code_inner: str | None = None  # of the innermost error, if ARM wraps it in others
    message_inner: str | None = None
    json: JsonText  # all of it: code, message, target, details, additionalInfo, and the rest

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.code, self.message)))


def read_error(body: Mapping[str, Any], envelope: frozenset[str] | None = None) -> ArmError | None:
    """Return the error of a body, or None without one.

    With `envelope`, the lower-case names of an operation's own members, the operation has failed:
    everything else in its body is part of the error.

    Shapes: `error: {…}`, `error: {error: {…}}` (the reference page of Redis Enterprise's
    `OperationsStatus_Get`), `error: […]`, `errors: […]` (Microsoft.Web), `odata.error` with
    `message: {value}`, `{}` beside `code` and `message`, JSON in a text, names in any case, codes
    with a space before them, the error as the body itself, and any of them in `properties`.
    """
    folded = {name.lower(): value for name, value in reversed(list(body.items()))}
    error = _held_error(body)
    own_names = {*_CODE, *_MESSAGE, *_NAMES}
    own = _canonical({name: body[name] for name in body if name.lower() in own_names})
    if _is_named(own) or (own and envelope is not None):
        hidden = {name: own[name] for name in own if own[name] != error.get(name, own[name])}
        error = own | error | ({"body": hidden} if hidden else {})
    if envelope is not None:
        known = envelope | own_names | set(_HOLDERS)
        rest = {name: value for name, value in body.items() if name.lower() not in known}
        read = next((holder for holder in _HOLDERS if _canonical(folded.get(holder))), None)
        held = {name: folded[name] for name in _HOLDERS if folded.get(name) and name != read}
        error = rest | held | error
        properties = folded.get("properties")
        if not _is_named(error) and isinstance(properties, dict):  # of a resource that has failed
            error |= _held_error(properties)
    if not error:
        return None
    found = [node for node in _path(error, is_deepest=False) if _is_named(node)]
    deepest = [node for node in _path(error, is_deepest=True) if _is_named(node)]
    inner = deepest[-1] if len(deepest) > 1 else {}
    return ArmError(
        code=next((node["code"] for node in found if node.get("code")), None),
        message=next((node["message"] for node in found if node.get("message")), None),
        code_inner=inner.get("code"),
        message_inner=inner.get("message"),
        json=to_json(error),
    )


def _held_error(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first error among the members that hold one; empty without any."""
    folded = {name.lower(): value for name, value in reversed(list(body.items()))}
    errors = (_canonical(folded.get(holder)) for holder in _HOLDERS)
    return next(filter(None, errors), {})


def _is_named(error: Mapping[str, Any]) -> bool:
    return bool(error.get("code") or error.get("message"))


def _canonical(value: object, level: int = 0) -> dict[str, Any]:
    """Return an error in the contract's names; empty if `value` is none.

    Of several errors the first one gets the others as details.
    """
    if level > _MOST_LEVELS:
        return {}
    match value:
        case str():
            text = value.strip()
            return _canonical(_json_in(text), level + 1) or ({"message": text} if text else {})
        case list():
            errors = [error for item in value if (error := _canonical(item, level + 1))]
            if len(errors) < 2:  # noqa: PLR2004
                return errors[0] if errors else {}
            details = errors[0].get("details")
            held = details if isinstance(details, list) else [details] if details else []
            return {**errors[0], "details": [*held, *errors[1:]]}
        case dict():
            return _unwrapped(_renamed(value), level)
        case _:
            return {}


def _renamed(error: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an error under the contract's names, code and message as text.

    If they are neither a text nor OData's, they are JSON in a text. A second member of a name, in
    another case, gets a suffix.
    """
    renamed: dict[str, Any] = {}
    for name, member in error.items():
        if member is None:
            continue
        lower, text = name.lower(), _text(member)
        is_name = lower in (*_CODE, *_MESSAGE)
        if is_name and text is None:
            if not member or isinstance(member, str):
                continue
            text = to_json(member)
        if lower in _CODE and text and "code" not in renamed:
            renamed["code"] = text
        elif lower in _MESSAGE and text and "message" not in renamed:
            renamed["message"] = text
        else:
            target = _NAMES.get(lower, name)
            while target in renamed:
                target += "_"
            renamed[target] = member
    return renamed


def _unwrapped(error: dict[str, Any], level: int) -> dict[str, Any]:
    """Return `error`; if it has no code and only wraps another error, both merged."""
    if "code" in error:
        return error
    if "message" in error:
        wrappers = {"message": _json_in(error["message"])}
    else:
        wrappers = {name: error[name] for name in error if name.lower() in _HOLDERS}
    for name, wrapped in wrappers.items():
        inner = _canonical(wrapped, level + 1)
        if inner and (name != "message" or _is_named(inner)):
            return inner | {n: member for n, member in error.items() if n not in (name, *inner)}
    return error


def _path(error: dict[str, Any], *, is_deepest: bool, level: int = 0) -> list[dict[str, Any]]:
    """Return an error, and the errors in it from outside to inside.

    Of several errors it follows the first one, or the first of those that hold the longest path: a
    deployment lists its resources, and some of them only say that they have failed.
    """
    if level == _MOST_LEVELS:
        return [error]
    folded = {name.lower(): value for name, value in error.items()}
    inner = (
        _json_in(folded.get("message")),
        folded.get("details"),
        *(folded.get(holder) for holder in _HOLDERS),
        folded.get("innererror"),
    )
    errors = next((found for value in inner if (found := _wrapped(value))), [])
    if not is_deepest:
        del errors[1:]
    paths = (_path(each, is_deepest=is_deepest, level=level + 1) for each in errors)
    return [error, *max(paths, key=len, default=[])]


def _wrapped(value: object) -> list[dict[str, Any]]:
    """Return the errors in a member that may hold some."""
    if isinstance(value, list):
        return [error for item in value for error in _wrapped(item)]
    error = _canonical(value) if isinstance(value, dict) else {}
    return [error] if _is_named(error) else []


def _json_in(value: object) -> object:
    """Return the JSON object or array that a text consists of, or a text that is it, or None."""
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(("{", "[", '"{', '"[')):
        return None
    try:
        return from_json(text)
    except ValueError:
        return None


def _text(value: object) -> str | None:
    """Return a code or message as text; OData gives messages as `{"lang", "value"}`."""
    if isinstance(value, dict):
        value = value.get("value")
    if value is None or isinstance(value, dict | list | bool):
        return None
    return str(value).strip() or None
