"""Rows as JSON values: what the terminal prints, and what a web page would be given."""

from datetime import datetime
from typing import Any

from opswatch.core.texts import from_json
from opswatch.core.times import format_instant
from opswatch.core.watches import Result, TimelineEntry
from opswatch.queries import OperationView
from opswatch.rows import tables
from opswatch.rows.codec import Entity

_JSON_COLUMNS = frozenset(
    {
        "attemptLog", "callbackOn", "callbacks", "clientState", "earlierEnds", "end", "errorJson",
        "pollLog", "resultJson",
    }
)  # fmt: skip


def operation_as_json(view: OperationView) -> dict[str, Any]:
    """Return an operation as its row has it, with `state` and its deliveries."""
    if isinstance(view.live, Result):
        row = {"state": "finished", **row_as_json(tables.RESULTS.encode(view.live))}
    else:
        row = {"state": "watching", **row_as_json(tables.WATCHES.encode(view.live))}
    deliveries = [row_as_json(tables.DELIVERIES.encode(delivery)) for delivery in view.deliveries]
    return row | {"deliveries": deliveries}


def timeline_entry_as_json(entry: TimelineEntry) -> dict[str, Any]:
    """Return an entry of the timeline as its row has it, without the row's keys."""
    row = row_as_json(tables.TIMELINE.encode(entry))
    del row["PartitionKey"], row["RowKey"]
    return row


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
