"""Columns are derived from a noun's fields: their names, their nesting and what is missing."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum

import msgspec
import pytest

from opswatch.core.keys import Key, Operation
from opswatch.core.watches import OperationFacts, Watch
from opswatch.rows.codec import Codec, Names
from opswatch.rows.tables import WATCHES
from tests.support.builders import NOW, at, watch
from tests.support.cases import cases


class Colour(StrEnum):
    """An enumeration, which is written as its value."""

    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A noun within a noun."""

    made_at: datetime
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """A noun that may be missing."""

    serial: str
    stock: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A noun with a field of each type."""

    key: Key
    owner: Key
    name: str
    last_seen_at: datetime | None = None
    colour: Colour = Colour.RED
    count: int = 0
    labels: tuple[str, ...] = ()
    part: Part
    spare: Spare | None = None
    packed: Part | None = None
    parts: tuple[Part, ...] = ()

    @property
    def double(self) -> int:
        """A value that is written and not read."""
        return 2 * self.count


NAMES: Names = {
    (Thing, "key"): ("PartitionKey", "RowKey"),
    (Thing, "owner"): ("PartitionKey", "ownerRow"),
    (Thing, "name"): "called",
    (Thing, "packed"): "packedJson",
}
THINGS = Codec("things", Thing, NAMES, due="lastSeenAt", double="double")
THING = Thing(key=Key("p", "r"), owner=Key("p", "o"), name="n", part=Part(made_at=NOW))
LEAST = {
    "PartitionKey": "p",
    "RowKey": "r",
    "ownerRow": "o",
    "called": "n",
    "colour": "red",
    "count": 0,
    "labels": "[]",
    "madeAt": NOW,
    "parts": "[]",
    "double": 0,
}


@cases(
    "thing, columns",
    {
        "least": (THING, {}),
        "instant": (replace(THING, last_seen_at=at(1)), {"lastSeenAt": at(1)}),
        "derived": (replace(THING, count=2), {"count": 2, "double": 4}),
        "tuple": (replace(THING, labels=("a", "é")), {"labels": '["a","é"]'}),
        "nested": (replace(THING, part=Part(made_at=NOW, weight=1.5)), {"weight": 1.5}),
        "optional": (replace(THING, spare=Spare(serial="s")), {"serial": "s", "stock": 1}),
        "packed": (
            replace(THING, packed=Part(made_at=NOW, weight=1.5)),
            {"packedJson": '{"madeAt":"2026-11-23T03:05:40Z","weight":1.5}'},
        ),
        "packed, with a field missing": (
            replace(THING, packed=Part(made_at=NOW)),
            {"packedJson": '{"madeAt":"2026-11-23T03:05:40Z"}'},
        ),
        "tuple of nouns": (
            replace(THING, parts=(Part(made_at=NOW), Part(made_at=NOW, weight=0.5))),
            {
                "parts": '[{"madeAt":"2026-11-23T03:05:40Z"},'
                '{"madeAt":"2026-11-23T03:05:40Z","weight":0.5}]'
            },
        ),
    },
)
def test_fields_have_columns(thing: Thing, columns: dict[str, object]) -> None:
    assert THINGS.encode(thing) == LEAST | columns
    assert THINGS.decode(LEAST | columns) == thing


VARIANTS = {
    "least": THING,
    "count": replace(THING, count=2),
    "instant": replace(THING, last_seen_at=at(1)),
    "later": replace(THING, last_seen_at=at(2), labels=("a",)),
    "weight": replace(THING, part=Part(made_at=NOW, weight=1.5)),
    "spare": replace(THING, spare=Spare(serial="s")),
    "other spare": replace(THING, spare=Spare(serial="t")),
    "packed": replace(THING, packed=Part(made_at=NOW, weight=1.5)),
    "packed, lighter": replace(THING, packed=Part(made_at=NOW)),
    "parts": replace(THING, parts=(Part(made_at=NOW),)),
}


@pytest.mark.parametrize("before", VARIANTS)
@pytest.mark.parametrize("after", VARIANTS)
def test_changes_are_the_columns_that_differ(before: str, after: str) -> None:
    old, new = (THINGS.encode(VARIANTS[name]) for name in (before, after))
    lost = old.keys() - new.keys()
    differing = {name: value for name, value in new.items() if value != old.get(name)}
    assert THINGS.changes(VARIANTS[before], VARIANTS[after]) == (None if lost else differing)


@pytest.mark.parametrize("name", ["PartitionKey", "RowKey", "ownerRow", "called", "madeAt"])
def test_missing_required_column_is_an_error(name: str) -> None:
    entity = {column: value for column, value in LEAST.items() if column != name}
    with pytest.raises(msgspec.ValidationError):
        THINGS.decode(entity)


@pytest.mark.parametrize(
    "column",
    [{"count": "many"}, {"colour": "blue"}, {"packedJson": '{"weight":1}'}, {"parts": "[{}]"},
     {"stock": 2}],
)  # fmt: skip
def test_wrong_column_is_an_error(column: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        THINGS.decode(LEAST | column)


def test_column_with_the_default_may_be_missing() -> None:
    required = ("PartitionKey", "RowKey", "ownerRow", "called", "madeAt")
    assert THINGS.decode({name: LEAST[name] for name in required}) == THING


def test_unknown_columns_are_ignored() -> None:
    assert THINGS.decode(LEAST | {"Timestamp": NOW, "etag": "x"}) == THING


@dataclass(frozen=True, slots=True, kw_only=True)
class WiderFacts(OperationFacts):
    """The facts, with a new one."""

    cost_hint_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A noun that holds the wider facts."""

    facts: WiderFacts

    @property
    def key(self) -> Key:
        """The key of the operation."""
        return self.facts.operation.key


def test_new_fact_gets_its_column() -> None:
    codec = Codec("holders", Holder, {(Operation, "key"): ("PartitionKey", "RowKey")})
    facts = watch(polls=3, callbacks=("https://example.com/x",)).facts
    known = {field.name: getattr(facts, field.name) for field in fields(facts)}
    before, after = (Holder(facts=WiderFacts(**known, cost_hint_at=at_)) for at_ in (None, at(5)))
    entity = codec.encode(before)
    assert entity.items() <= WATCHES.encode(Watch(facts=facts, due_at=NOW)).items()
    assert codec.encode(after) == entity | {"costHintAt": at(5)}
    for holder in (before, after):
        assert codec.decode(codec.encode(holder)) == holder
