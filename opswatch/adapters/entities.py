"""Rows as the table service's JSON: each property, and its type where JSON cannot tell it.

https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations
"""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from opswatch.core.wire import Row

_TYPE = "@odata.type"
_INT32 = range(-(2**31), 2**31)

_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def entity_from(row: Row) -> bytes:
    """Return the body that writes `row`: in ASCII, for an emulator that reads it chunk by chunk."""
    entity: Row = {}
    for name, value in row.items():
        match value:
            case datetime():
                entity[name] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
                entity[name + _TYPE] = "Edm.DateTime"
            case float():
                entity[name] = value
                entity[name + _TYPE] = "Edm.Double"
            case int() if value not in _INT32:
                entity[name] = str(value)
                entity[name + _TYPE] = "Edm.Int64"
            case _:
                entity[name] = value
    return _encode(entity).encode()


def row_from(entity: bytes) -> Row:
    """Return the row in the body that reads it, which has minimal metadata."""
    values = _decode(entity)
    return {
        name: _read(value, values.get(name + _TYPE))
        for name, value in values.items()
        if not name.endswith(_TYPE)
    }


def _read(value: Any, kind: str | None) -> Any:
    match kind:
        case "Edm.DateTime":
            return datetime.fromisoformat(value)
        case "Edm.Int64":
            return int(value)
        case _:
            return value
