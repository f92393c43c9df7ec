"""Removes signed URLs, tokens and secrets from what leaves the app: callbacks and logs.

The results table keeps ARM's answers whole, because its readers have been given the right to them.
A callback goes to any receiver that a message has named.
"""

import re
from typing import Any
from urllib.parse import unquote

REDACTED = "[redacted]"
# Each pattern consumes everything that it has scanned: no text is scanned twice.
_URL = re.compile(
    r"([a-z][a-z0-9+.-]{0,30}://[^\s?#\"'<>]+)(?:\?([^\s\"'<>]*))?", re.IGNORECASE | re.ASCII
)
_HARMLESS = frozenset({"api-version", "view"})  # parameters without a secret
_SECRET_NAME = re.compile(
    r"(password|pwd|secret|token|sas|credentials?|connectionstring"
    r"|(primary|secondary|access|account|shared|api|private|master)_?keys?)$",
    re.IGNORECASE,
)
_SECRET_TEXTS = (
    re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+)*"),  # a JSON web token
    re.compile(r"\bBearer\s+[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"\bwhsec_[\w+/=-]+"),
    re.compile(r"(?i)\b(?:\w*Key|\w*Signature|Password|Pwd)=[^;\s\"']{4,}"),  # connection strings
)


def redact(value: Any) -> Any:
    """Return a JSON value without the queries of its URLs, its tokens and its secrets."""
    match value:
        case dict():
            return {
                name: (
                    REDACTED
                    if inner and isinstance(inner, str | list | dict) and _SECRET_NAME.search(name)
                    else redact(inner)
                )
                for name, inner in value.items()
            }
        case list():
            return [redact(inner) for inner in value]
        case str():
            return redact_text(value)
        case _:
            return value


def redact_text(text: str) -> str:
    """Return `text` with the query of each URL, each token and each key in it replaced."""
    text = _URL.sub(_without_query, text)
    for secret in _SECRET_TEXTS:
        text = secret.sub(REDACTED, text)
    return text


def _without_query(match: re.Match[str]) -> str:
    if match[2] is None:
        return match[0]
    names = {unquote(part.partition("=")[0]).lower() for part in match[2].split("&")}
    return match[0] if names <= _HARMLESS else f"{match[1]}?{REDACTED}"
