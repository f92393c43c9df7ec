"""JSON and other texts in the sizes that Table Storage can hold."""

import json
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from opswatch.core.model import JsonText

# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
MAX_PROPERTY = 32 * 1024  # UTF-16 code units: 64 KiB
# Levels: .NET's readers take no more, so nor do ARM and many receivers. What is kept is read again
# and again, by functions that call themselves and at whatever depth of the stack.
MAX_DEPTH = 64

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def to_json(value: object) -> JsonText:
    """Return `value` as compact JSON."""
    return _encode(value).decode()


def from_json(text: str | bytes) -> Any:
    """Return the value of strict JSON of `MAX_DEPTH`; raise `ValueError` for anything else."""
    try:
        value = _decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _is_too_deep(value):
        raise ValueError("nested too deeply")
    return value


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def from_lenient_json(body: bytes) -> Any:
    """Return the value of JSON as services really send it; raise `ValueError` where there is none.

    Beyond strict JSON: a BOM, bytes that are not UTF-8, half a surrogate pair (a message cut by
    its sender), numbers out of range or without end. An end must not be missed for one of these.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return from_json(body)
    except ValueError:
        return _repaired(body)


def _repaired(body: bytes) -> Any:
    try:
        value = json.loads(
            body.decode("utf-8", "replace"),
            strict=False,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=lambda _: None,
        )
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return from_json(text.encode("utf-8", "replace"))


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # of thousands of digits, which Python refuses
        return None


def utf16_length(text: str) -> int:
    """Return the length of `text` in UTF-16 code units, which is how Azure counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int = MAX_PROPERTY) -> str:
    """Return the beginning of `text` that fits into `limit` UTF-16 code units."""
    if utf16_length(text) <= limit:
        return text
    return text.encode("utf-16-le", "surrogatepass")[: 2 * limit].decode("utf-16-le", "ignore")


def one_line(text: str, limit: int = 512) -> str:
    """Return `text` cut to `limit`, with white space folded and control characters escaped."""
    folded = " ".join(text[: 4 * limit].split())
    return cut("".join(c if c.isprintable() else ascii(c)[1:-1] for c in folded), limit)
