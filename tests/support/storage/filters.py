"""The part of `$filter` that opswatch uses: comparisons that must all hold.

https://learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.storage.entities import ANNOTATION, Properties, instant_text
from tests.support.storage.errors import RefusedError

_LITERAL = r"(?:datetime)?'(?:[^']|'')*'|-?[0-9.]+(?:[eE][+-]?[0-9]+)?|true|false"
_COMPARISON = re.compile(rf"\s*(\w+)\s+(eq|ne|lt|le|gt|ge)\s+({_LITERAL})\s*(?:\band\b|$)")
_DATE_TIME = "Edm.DateTime"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; a missing property, or one of another type, never fulfils it."""

    name: str
    operator: str
    value: Any
    kind: str | None  # the annotation that the property must have

    def holds(self, properties: Properties) -> bool:
        value = properties.get(self.name)
        if value is None or properties.get(self.name + ANNOTATION) != self.kind:
            return False
        if self.kind == _DATE_TIME:
            value = value[:-1]  # the Z, which would be greater than any digit
        elif isinstance(value, str) is not isinstance(self.value, str):
            return False
        compare: Callable[[Any, Any], bool] = getattr(operator, self.operator)
        return compare(value, self.value)


def comparisons(text: str) -> list[Comparison]:
    """Read a filter; raise `RefusedError` if it is more than comparisons joined by `and`."""
    found, position = [], 0
    while position < len(text):
        match = _COMPARISON.match(text, position)
        if match is None:
            raise RefusedError("InvalidInput")
        name, comparison, literal = match.groups()
        found.append(Comparison(name, comparison, *_value(literal)))
        position = match.end()
    return found


def _value(literal: str) -> tuple[Any, str | None]:
    if literal.startswith("datetime"):
        return instant_text(literal[len("datetime'") : -1])[:-1], _DATE_TIME
    if literal.startswith("'"):
        return literal[1:-1].replace("''", "'"), None
    if literal in ("true", "false"):
        return literal == "true", None
    return float(literal), None
