"""JSON and other texts in the sizes that Table Storage can hold."""

import json
import math
from typing import Any

import msgspec

JsonText = str  # a JSON value as text: immutable, and encoded only once

# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
MAX_PROPERTY = 32 * 1024  # UTF-16 code units: 64 KiB
# Levels: .NET's readers accept no more, so neither do ARM and many receivers. Recursive functions
# read stored values again, at any depth of the stack.
MAX_DEPTH = 64

_AROUND = " \t\r\n\ufeff\ufffe\0"  # white space and byte-order marks

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
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def decode_text(body: bytes) -> str:
    """Return the text of a body as services really send it, without white space around it.

    Byte-order marks are removed: one, several, or after white space. UTF-16 is recognised by its
    mark, or by the NUL bytes of its ASCII characters. Bytes that are not text are replaced.
    """
    encoding = "utf-8"
    start = body[:64].lstrip()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
        body = body.lstrip()
    elif b"\0" in body[:4] and len(body) % 2 == 0:
        encoding = "utf-16-le" if body[1:2] == b"\0" else "utf-16-be"
    return body.decode(encoding, "replace").strip(_AROUND)


def from_lenient_json(body: bytes) -> Any:
    """Return the value of JSON as services really send it; raise `ValueError` if there is none.

    Beyond strict JSON it accepts everything that `decode_text` does, half a surrogate pair (a
    message that its sender cut), and numbers out of range or too long. None of them may hide an
    end.
    """
    try:
        return from_json(body)
    except ValueError:
        pass
    try:
        value = json.loads(
            decode_text(body),
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
