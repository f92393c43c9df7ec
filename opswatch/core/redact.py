"""Removes signed URLs, tokens and secrets from what leaves the app: callbacks and logs.

The results table keeps ARM's answers whole, because its readers have been given the right to them.
A callback goes to any receiver that a message has named. A secret is recognized by the name of a
property, by the properties beside it, or by its form.
"""

import json
import re
from typing import Any

from opswatch.core.secret_forms import REDACTED, without_secrets
from opswatch.core.secret_names import (
    describes,
    holds_secrets,
    is_pair,
    is_password,
    is_secret,
    looks_like_key,
    may_be_secret,
)
from opswatch.core.texts import MAX_DEPTH

# Properties that name what is beside them, and properties that hold what is named so.
_LABELS = frozenset(
    {
        "name", "key", "keyname", "secretname", "passwordname", "tokenname", "displayname", "label",
        "title", "type", "kind", "variable", "setting", "parameter", "parametername", "header",
        "field", "property",
    }
)  # fmt: skip
_SECRET_LABELS = frozenset({"keyname", "secretname", "passwordname", "tokenname"})
_MARKS = frozenset({"secret", "issecret", "secure", "issecure", "sensitive", "issensitive"})
_VALUES = frozenset(
    {
        "value", "values", "val", "keyvalue", "secretvalue", "data", "content", "text",
        "stringvalue", "defaultvalue", "oldvalue", "newvalue", "currentvalue",
    }
)  # fmt: skip
_MAX_LEVELS = 2 * MAX_DEPTH  # of values, and of values in the JSON of their texts
_MAX_WORD = 10  # letters: no form is one word as short as this
_MAX_FAILURES = 64  # to parse what looks like the beginning of JSON, in one text
_BRACKET = re.compile(r"[{\[]")
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decoder = json.JSONDecoder(strict=False)


def redact(value: Any) -> Any:
    """Return a JSON value without the queries of its URLs, its tokens and its secrets."""
    return _redact(value, "", 0)


def redact_text(text: str) -> str:
    """Return `text`, in which there may be JSON, without queries, tokens and secrets."""
    return _redact_text(text, 0)


def _redact(value: Any, name: str, level: int) -> Any:
    """Redact the value of the property `name`; a list's elements have the name of the list."""
    match value:
        case str():
            looks_so = may_be_secret(name) and (looks_like_key(value) or is_pair(value))
            if value and (is_secret(name) or looks_so):
                return REDACTED
            return _redact_text(value, level)
        case bool() | None:
            return value
        case int() | float():
            return REDACTED if is_password(name) else value
        case list() | dict() if level >= _MAX_LEVELS or (holds_secrets(name) and _has_text(value)):
            return REDACTED
        case list():
            return [_redact(inner, name, level + 1) for inner in value]
        case dict():
            return _redact_object(value, name, level)
        case _:
            return value


def _has_text(value: Any) -> bool:
    """Return whether there is a text in a value: `tokens: {"count": 1}` holds no secret."""
    match value:
        case str():
            return bool(value)
        case list():
            return any(map(_has_text, value))
        case dict():
            return any(map(_has_text, value.values()))
        case _:
            return False


def _redact_object(value: dict[str, Any], name: str, level: int) -> dict[str, Any]:
    """Redact the properties of an object: `value` is judged by its neighbours and by `name` too."""
    is_labelled, is_of_secret = _has_secret_label(value), may_be_secret(name)
    is_public_key = "kty" in value  # whose numbers look like keys
    redacted: dict[str, Any] = {}
    for inner_name, inner in value.items():
        is_text, is_value = isinstance(inner, str), inner_name.lower() in _VALUES
        if is_value:
            is_secret_here = is_labelled or (is_of_secret and is_text)
        else:  # `keys: {"primary": …}`
            is_secret_here = is_of_secret and is_text and looks_like_key(inner)
            is_secret_here = is_secret_here and not is_public_key and not describes(inner_name)
        if is_secret_here and inner and inner is not True:
            redacted[inner_name] = REDACTED
            continue
        known_as = name if is_value and isinstance(inner, list | dict) else inner_name
        redacted[_redact_text(inner_name, level)] = _redact(inner, known_as, level + 1)
    return redacted


def _has_secret_label(value: dict[str, Any]) -> bool:
    """Return whether a property says that the `value` beside it is a secret."""
    for name, label in value.items():
        lower = name.lower()
        if lower in _SECRET_LABELS or (lower in _MARKS and label is True):
            return True
        is_label = lower in _LABELS and isinstance(label, str)
        if is_label and (is_secret(label) or label.lower().startswith("secure")):
            return True
    return False


def _redact_text(text: str, level: int) -> str:
    """Redact the JSON in a text as values, then the rest of it by its form.

    After a failure the search goes on behind it: no part of a text is parsed twice. The failures
    are counted, because each of them takes a time that grows with the length of the text.
    """
    if len(text) <= _MAX_WORD and text.isalpha():
        return text
    parts: list[str] = []
    done = at = failures = 0
    while level < _MAX_LEVELS and failures < _MAX_FAILURES:
        found = _BRACKET.search(text, at)
        if found is None:
            break
        try:
            value, at = _decoder.raw_decode(text, found.start())
        except json.JSONDecodeError as error:
            at, failures = max(error.pos, found.end()), failures + 1
            continue
        except (ValueError, RecursionError):  # a number of thousands of digits; too many levels
            break
        redacted = _redact(value, "", level + 1)
        if redacted != value:
            parts += [text[done : found.start()], _encode(redacted)]
            done = at
    return without_secrets("".join(parts) + text[done:])
