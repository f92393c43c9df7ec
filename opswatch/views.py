"""Rows as JSON values: instants and columns of JSON as the API has them."""

from datetime import datetime
from typing import Any

from opswatch.core.texts import from_json
from opswatch.core.times import format_instant
from opswatch.rows.codec import Entity

_JSON_COLUMNS = frozenset(
    {
        "attemptLog", "callbackOn", "callbacks", "clientState", "earlierEnds", "end", "errorJson",
        "pollLog", "resultJson",
    }
)  # fmt: skip


def row_as_json(entity: Entity) -> dict[str, Any]:
    """Return a row as JSON: instants as RFC 3339, columns of JSON as their values."""
    row: dict[str, Any] = {}
    for name, value in entity.items():
        row[name] = format_instant(value) if isinstance(value, datetime) else value
        if name in _JSON_COLUMNS:
            try:
                row[name] = from_json(value)
            except ValueError:  # cut to what the row can hold
                row[name] = value
    return row
