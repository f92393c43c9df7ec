"""Cutting what ARM says to what a table row can hold, and telling that it was cut."""

from dataclasses import replace

from opswatch.core.model import ArmError, End
from opswatch.core.texts import MAX_PROPERTY, cut, from_json, to_json, utf16_length

_MAX_CODE = 1024


def fit_end(end: End) -> End:
    """Return `end` with each value no longer than a property; `truncated` tells whether one was."""
    error = end.error and _fit_error(end.error)
    result = end.result and cut(end.result)
    truncated = (error, result) != (end.error, end.result)
    return replace(end, error=error, result=result, truncated=end.truncated or truncated)


def _fit_error(error: ArmError) -> ArmError:
    return ArmError(
        code=error.code and cut(error.code, _MAX_CODE),
        message=error.message and cut(error.message),
        json=shrink_error(error.json, MAX_PROPERTY),
    )


def shrink_error(json: str, limit: int) -> str:
    """Return an error's JSON of at most `limit` (200 or more) UTF-16 units, with its code kept.

    What goes first is what tells least: additionalInfo, then details, then the message's end.
    """
    if utf16_length(json) <= limit:
        return json
    error = from_json(json)
    for name in ("additionalInfo", "details"):
        error.pop(name, None)
        if utf16_length(to_json(error)) <= limit:
            return to_json(error)
    code, message = (str(error.get(name) or "") for name in ("code", "message"))
    code, message = _fit_text(code, limit // 8), _fit_text(message, limit * 3 // 4)
    return to_json({"code": code, "message": message})


def _fit_text(text: str, limit: int) -> str:
    """Return the beginning of `text` whose JSON fits into `limit`: an escape takes six units."""
    text = cut(text, limit)
    while utf16_length(to_json(text)) > limit:
        text = cut(text, utf16_length(text) * 3 // 4)
    return text
