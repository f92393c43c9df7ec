"""Columns derived from fields: how a noun becomes the entity of a table row, and back.

A field `last_polled_at` has the column `lastPolledAt`. Each field of a noun within a noun has its
column, too; a tuple or dict is one column of JSON. `tables.py` names the columns that differ.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from types import NoneType
from typing import Any, Generic, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from opswatch.core.keys import Key
from opswatch.core.texts import to_json

Entity = dict[str, Any]  # column -> str, int, float, bool or aware datetime in UTC; never None
# (noun, field) -> its column. A field of type Key has two. If the field is a noun, the column is
# JSON that holds its fields, except the fields that are named here themselves.
Names = Mapping[tuple[type, str], Any]


class Noun(Protocol):
    """What a table can hold: a dataclass with a key."""

    @property
    def key(self) -> Key:
        """The keys of its row."""


T = TypeVar("T", bound=Noun)


class UnreadableRowError(msgspec.ValidationError):
    """A row that is none of its table: a defect, a hand or another program has written it."""


class Codec(Generic[T]):
    """How one type of noun is written to its table.

    `due` names the column of a live table that says when a row is due. `derived` maps columns to
    properties of the noun, which are written and not read. Codecs may share a table: `partitions`
    is a pattern of those of a noun. `is_part` says that rows have more columns, which are not read.
    """

    def __init__(
        self,
        table: str,
        noun: type[T],
        names: Names,
        *,
        due: str = "",
        partitions: str = ".*",
        is_part: bool = False,
        **derived: str,
    ) -> None:
        self.table = table
        self.due = due
        self.is_part = is_part
        self._partitions = re.compile(partitions)
        self._noun = noun
        self._columns = tuple(_columns_of(noun, names))
        written = (*self._columns, *(_Column(name, (path,)) for name, path in derived.items()))
        self._written = _by_noun(written)

    @property
    def column_names(self) -> frozenset[str]:
        """The names of the columns that a row can have."""
        columns = (column for _, columns in self._written for column in columns)
        return frozenset(column.packed_in or column.name for column in columns)

    def has(self, partition: str) -> bool:
        """Return whether the rows of a partition are of this noun."""
        return self._partitions.fullmatch(partition) is not None

    def encode(self, noun: T) -> Entity:
        """Return the entity of `noun`: its keys, and every column that has a value."""
        entity = _write(self._written, noun)
        key = noun.key
        entity["PartitionKey"], entity["RowKey"] = key.partition, key.row
        return entity

    def changes(self, before: T, after: T) -> Entity | None:
        """Return the columns that differ, as `after` has them; None if one has lost its value."""
        changed: Entity = {}
        packed: set[str] = set()
        for path, columns in self._written:
            old, new = _follow(before, path), _follow(after, path)
            if old is new:
                continue
            for column in columns:
                was = None if old is None else column.get(old)
                value = None if new is None else column.get(new)
                if value is was or value == was:
                    continue
                if column.packed_in:
                    packed.add(column.packed_in)
                elif value is None:
                    return None
                else:
                    changed[column.name] = column.encode(value) if column.encode else value
        if packed:
            entity = self.encode(after)
            if not packed <= entity.keys():
                return None
            changed |= {name: entity[name] for name in packed}
        return changed

    def decode(self, entity: Entity) -> T:
        """Return the noun in `entity`; raise `UnreadableRowError` if there is none."""
        try:
            return msgspec.convert(_read(self._columns, entity), self._noun)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UnreadableRowError(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Column:
    """One column; `path` leads to its field, through the nouns within the noun."""

    name: str
    path: tuple[str, ...]
    packed_in: str = ""  # the column of JSON that it is a property of
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None
    get: Callable[[Any], Any] = field(init=False)  # of the noun that has the field

    def __post_init__(self) -> None:
        object.__setattr__(self, "get", attrgetter(self.path[-1]))


# The columns of each noun within a noun, with the path to it: so None is passed over.
_ByNoun = Sequence[tuple[tuple[str, ...], Sequence[_Column]]]


def _by_noun(columns: Iterable[_Column]) -> _ByNoun:
    groups: dict[tuple[str, ...], list[_Column]] = {}
    for column in columns:
        groups.setdefault(column.path[:-1], []).append(column)
    return tuple(groups.items())


def _follow(noun: Any, path: tuple[str, ...]) -> Any:
    """Return the noun that `path` leads to; None if it, or one on the path, is None."""
    for step in path:
        if noun is None:
            return None
        noun = getattr(noun, step)
    return noun


def _columns_of(
    cls: Any, names: Names, path: tuple[str, ...] = (), packed_in: str = ""
) -> Iterator[_Column]:
    """Yield the columns of a dataclass, in the order of its fields."""
    hints = get_type_hints(cls)
    for name in (item.name for item in fields(cls)):
        here, given, hint = (*path, name), names.get((cls, name)), hints[name]
        kinds = get_args(hint)
        kind = next(k for k in kinds if k is not NoneType) if NoneType in kinds else hint
        if kind is Key:
            yield from map(_Column, given or (), ((*here, "partition"), (*here, "row")))
        elif is_dataclass(kind):
            yield from _columns_of(kind, names, here, given or packed_in)
        else:
            first, *rest = name.split("_")
            column = given or first + "".join(part.capitalize() for part in rest)
            encode, decode = _conversions(kind, names)
            yield _Column(column, here, "" if given else packed_in, encode, decode)


def _conversions(
    kind: Any, names: Names
) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    """Return how a value is written to a column and read from it, if not as it is."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return attrgetter("value"), None
    if get_origin(kind) not in (tuple, dict):
        return None, None
    element = get_args(kind)[0]
    if not is_dataclass(element):
        return to_json, msgspec.json.decode
    columns = tuple(_columns_of(element, names))
    written = _by_noun(columns)
    return (
        lambda nouns: to_json([_write(written, noun) for noun in nouns]),
        lambda text: [_read(columns, entity) for entity in msgspec.json.decode(text)],
    )


def _write(written: _ByNoun, noun: Any) -> Entity:
    entity: Entity = {}
    packed: dict[str, Entity] = {}
    for path, columns in written:
        if (inner := _follow(noun, path)) is None:
            continue
        for column in columns:
            if (value := column.get(inner)) is not None:
                target = packed.setdefault(column.packed_in, {}) if column.packed_in else entity
                target[column.name] = column.encode(value) if column.encode else value
    for name, properties in packed.items():
        entity[name] = to_json(properties)
    return entity


def _read(columns: Iterable[_Column], entity: Entity) -> dict[str, Any]:
    """Return the fields that have a value, nested as the nouns are."""
    noun: dict[str, Any] = {}
    packed: dict[str, Entity] = {}
    for column in columns:
        source = entity
        if column.packed_in:
            if column.packed_in not in packed:
                text = entity.get(column.packed_in)
                packed[column.packed_in] = msgspec.json.decode(text) if text else {}
            source = packed[column.packed_in]
        value = source.get(column.name)
        if value is not None:
            target = noun
            for step in column.path[:-1]:
                target = target.setdefault(step, {})
            target[column.path[-1]] = column.decode(value) if column.decode else value
    return noun
