"""The columns of every table, as rows of filled nouns show them."""

from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from opswatch import views
from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import HostCircuit
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key
from opswatch.core.kinds import KindDurations
from opswatch.core.lookahead import LookAhead
from opswatch.core.summary import HourCounts, Summary
from opswatch.core.timeline import SettledEntry
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.rows import tables
from opswatch.rows.codec import Codec, Entity
from tests.docs.markdown import Table

_TEXT, _NOW = "text", datetime(2026, 11, 23, tzinfo=UTC)
_SIMPLE: dict[Any, Any] = {
    str: _TEXT, int: 1, float: 1.5, bool: True, datetime: _NOW, Key: Key("p", "r"),
}  # fmt: skip
_KEYS = ("PartitionKey", "RowKey")
_TYPES = {str: "string", int: "int", float: "double", bool: "bool", datetime: "datetime"}

# heading -> the codecs of the table that it describes, each with its noun
TABLES: dict[str, dict[Codec[Any], Any]] = {
    "watches and results": {tables.WATCHES: Watch, tables.RESULTS: Result},
    "outbox and deliveries": {tables.OUTBOX: Delivery, tables.DELIVERIES: Delivery},
    "timeline": {tables.TIMELINE: TimelineEntry},
    "timeline, settled deliveries": {tables.SETTLED: SettledEntry},
    "timeline, hours": {tables.HOURS: HourCounts},
    "timeline, now": {tables.SUMMARY: Summary},
    "rejections": {tables.REJECTIONS: Rejection},
    "hosts": {tables.HOSTS: HostCircuit},
    "durations": {tables.DURATIONS: KindDurations},
    "lookahead": {tables.LOOKAHEAD: LookAhead},
}


def filled(kind: Any) -> Any:
    """Return a value of a field's type in which every field has a value."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return parts[0]
    if get_origin(kind) is dict:
        return {_TEXT: filled(parts[1])}
    if get_origin(kind) is tuple:
        return tuple(filled(part) for part in parts if part is not Ellipsis)
    if parts:  # or None
        return filled(next(part for part in parts if part is not NoneType))
    if issubclass(kind, Enum):
        return next(iter(kind))
    hints = get_type_hints(kind)
    return kind(**{field.name: filled(hints[field.name]) for field in fields(kind)})


def row_of(codec: Codec[Any], noun: Any) -> Entity:
    """Return a row in which every column has a value."""
    row = codec.encode(filled(noun))
    assert codec.column_names <= row.keys()
    return row


def type_of(name: str, value: object) -> str:
    """Return the type of a column, as Table Storage names it."""
    is_json = isinstance(value, str) and value[0] in "[{"
    return "JSON" if is_json or name in views._JSON_COLUMNS else _TYPES[type(value)]


def columns(heading: str) -> Table:
    """Return the columns of one table, or of two that have most of them in common."""
    rows = {codec.table: row_of(codec, noun) for codec, noun in TABLES[heading].items()}
    types = {name: type_of(name, value) for row in rows.values() for name, value in row.items()}
    names = sorted(types, key=lambda name: _KEYS.index(name) if name in _KEYS else len(_KEYS))
    if len(rows) == 1 or len({frozenset(row) for row in rows.values()}) == 1:
        return Table(
            ("column", "type", "meaning"), tuple((f"`{name}`", types[name]) for name in names)
        )
    only = {name: [table for table, row in rows.items() if name in row] for name in names}
    return Table(
        ("column", "type", "only in", "meaning"),
        tuple(
            (
                f"`{name}`",
                types[name],
                f"`{only[name][0]}`" if len(only[name]) < len(rows) else "",
            )
            for name in names
        ),
    )
