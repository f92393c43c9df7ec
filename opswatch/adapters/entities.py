"""Entities as the table service's JSON: each property, with its type if JSON does not show it.

https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations
"""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from opswatch.core.keys import Key
from opswatch.rows.codec import Entity

_TYPE = "@odata.type"
_INT32 = range(-(2**31), 2**31)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def encode_entity(entity: Entity) -> bytes:
    """Return the body that writes `entity`: in ASCII, for an emulator that reads it in chunks."""
    properties: Entity = {}
    for name, value in entity.items():
        match value:
            case datetime():
                properties[name] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
                properties[name + _TYPE] = "Edm.DateTime"
            case float():
                properties[name] = value
                properties[name + _TYPE] = "Edm.Double"
            case int() if value not in _INT32:
                properties[name] = str(value)
                properties[name + _TYPE] = "Edm.Int64"
            case _:
                properties[name] = value
    return _encode(properties).encode()


def decode_entity(body: bytes) -> Entity:
    """Return the entity in the body of an answer, which has minimal metadata."""
    entity: Entity = {}
    properties = _decode(body)
    for name, value in properties.items():
        if name.endswith(_TYPE):
            continue
        match properties.get(name + _TYPE):
            case "Edm.DateTime":
                entity[name] = datetime.fromisoformat(value)
            case "Edm.Int64":
                entity[name] = int(value)
            case _:
                entity[name] = value
    return entity


def entity_path(table: str, key: Key) -> str:
    """Return the path of a row: keys are between apostrophes, which are doubled within them."""
    partition, row = (quote(text.replace("'", "''"), safe="") for text in (key.partition, key.row))
    return f"{table}(PartitionKey='{partition}',RowKey='{row}')"


def to_utc(value: Any) -> Any:
    """Return a value as the SDK reads it, an instant as a `datetime` in UTC."""
    return _EPOCH + (value - _EPOCH) if isinstance(value, datetime) else value
