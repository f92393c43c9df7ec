"""Cuts an ARM error to what a table property can hold; its code is always kept."""

from opswatch.core.arm_errors import ArmError
from opswatch.core.texts import MAX_PROPERTY, cut, from_json, to_json, utf16_length

_MAX_CODE = 1024  # UTF-16 units


def cut_error(error: ArmError) -> ArmError:
    """Return `error` with no value longer than a property."""
    return ArmError(
        code=error.code and cut(error.code, _MAX_CODE),
        message=error.message and cut(error.message),
        code_inner=error.code_inner and cut(error.code_inner, _MAX_CODE),
        message_inner=error.message_inner and cut(error.message_inner),
        json=shrink_error(error.json, MAX_PROPERTY),
    )


def shrink_error(json: str, limit: int) -> str:
    """Return an error's JSON of at most `limit` (200 or more) UTF-16 units, with its code kept.

    The least useful part is removed first: additionalInfo, then details, then the message's end.
    """
    if utf16_length(json) <= limit:
        return json
    error = from_json(json)
    for name in ("additionalInfo", "details"):
        error.pop(name, None)
        if utf16_length(to_json(error)) <= limit:
            return to_json(error)
    code, message = (str(error.get(name) or "") for name in ("code", "message"))
    code, message = _cut_encoded(code, limit // 8), _cut_encoded(message, limit * 3 // 4)
    return to_json({"code": code, "message": message})


def _cut_encoded(text: str, limit: int) -> str:
    """Return the beginning of `text` whose JSON fits into `limit`: an escape takes six units."""
    text = cut(text, limit)
    while utf16_length(to_json(text)) > limit:
        text = cut(text, utf16_length(text) * 3 // 4)
    return text
