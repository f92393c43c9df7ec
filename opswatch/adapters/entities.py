"""Entities as the table service's JSON: each property, with its type if JSON does not show it.

https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from opswatch.core.keys import Key
from opswatch.rows.codec import Entity

_TYPE = "@odata.type"
_INT32 = range(-(2**31), 2**31)

_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Page(msgspec.Struct):
    """The answer to a query."""

    value: list[dict[str, Any]]


_decode_page = msgspec.json.Decoder(_Page).decode


def encode_entity(entity: Entity) -> bytes:
    """Return the body that writes `entity`: in ASCII, for an emulator that reads it in chunks."""
    properties: Entity = {}
    for name, value in entity.items():
        match value:
            case datetime():
                properties[name] = _instant(value)
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
    return _entity(_decode(body))


def decode_entities(body: bytes) -> list[tuple[Entity, str]]:
    """Return the entities in the answer to a query, each with its ETag."""
    return [
        (_entity(properties), properties["odata.etag"]) for properties in _decode_page(body).value
    ]


def _entity(properties: dict[str, Any]) -> Entity:
    entity: Entity = {}
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


def encode_filter(conditions: Mapping[str, Any]) -> str:
    """Return the OData filter of `conditions`: "column operator" -> a text or an instant."""
    return " and ".join(f"{text} {_literal(value)}" for text, value in conditions.items())


def _literal(value: str | datetime | bool) -> str:
    if isinstance(value, datetime):
        return f"datetime'{_instant(value)}'"
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'"


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def entity_path(table: str, key: Key) -> str:
    """Return the path of a row: keys are between apostrophes, which are doubled within them."""
    partition, row = (quote(text.replace("'", "''"), safe="") for text in (key.partition, key.row))
    return f"{table}(PartitionKey='{partition}',RowKey='{row}')"
