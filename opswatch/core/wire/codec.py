"""How one kind of noun stands in its table; what every kind needs for that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from opswatch.core.model import Key

T = TypeVar("T")
Row = dict[str, Any]  # property name -> str, int, float, bool or aware datetime; never None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How one kind of noun stands in its table."""

    table: str
    key: Callable[[T], Key]
    columns: Callable[[T], Mapping[str, Any]]
    read: Callable[[Row], T]
    due: str = ""  # of a live table: the property that says when its row is to be acted on
    late: str = ""  # the property that says when it was, where it has only been woken since

    def row(self, noun: T) -> Row:
        """Return the whole row of `noun`: its keys, and every property that it has."""
        key = self.key(noun)
        present = {name: value for name, value in self.columns(noun).items() if value is not None}
        return {"PartitionKey": key.partition, "RowKey": key.row, **present}

    @property
    def due_columns(self) -> list[str]:
        """The properties that `due_since` reads."""
        return [name for name in (self.due, self.late) if name]

    def due_since(self, row: Row) -> datetime:
        """Return since when the row of a live table is due, or will be."""
        return plain(row.get(self.late) or row[self.due])


def key_of(row: Row) -> Key:
    """Return the keys of `row`."""
    return Key(row["PartitionKey"], row["RowKey"])


def instant(row: Row, name: str) -> datetime | None:
    """Return the instant in the property `name`; None where the row has none."""
    value = row.get(name)
    return None if value is None else plain(value)


def plain(value: datetime) -> datetime:
    """Return a plain datetime in UTC of what the tables SDK hands out."""
    return _EPOCH + (value - _EPOCH)
