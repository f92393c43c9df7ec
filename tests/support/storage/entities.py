"""Properties of entities as the table service takes them in, and as it tells them again.

https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations:
a property whose type its JSON does not show has an annotation beside it, `X@odata.type`.
"""

import math
import re
from typing import Any

from tests.support.storage.errors import RefusedError

Properties = dict[str, Any]  # by name, annotations included, as they stand in JSON
ANNOTATION = "@odata.type"
_MOST_BYTES = 64 * 1024  # of a string in UTF-16
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z", re.ASCII)
_UNFIT_FOR_KEY = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")


def taken_in(given: Properties) -> Properties:
    """Return the properties of an entity that was sent; raise `RefusedError`."""
    properties: Properties = {}
    for name, value in given.items():
        if value is None or name == "Timestamp" or name.endswith(ANNOTATION):
            continue
        if name.startswith("odata."):
            continue
        properties[name], kind = _typed(value, given.get(name + ANNOTATION))
        if kind is not None:
            properties[name + ANNOTATION] = kind
    _check_keys(properties)
    return properties


def merged(standing: Properties, given: Properties) -> Properties:
    """Return the properties of an entity after those given have been merged into it."""
    kept = {n: v for n, v in standing.items() if n.removesuffix(ANNOTATION) not in given}
    return kept | given


def selected(properties: Properties, names: set[str]) -> Properties:
    """Return the properties that `names` names, with their annotations."""
    return {n: v for n, v in properties.items() if n.removesuffix(ANNOTATION) in names}


def plain(properties: Properties) -> Properties:
    """Return the properties without annotations."""
    return {n: v for n, v in properties.items() if not n.endswith(ANNOTATION)}


def instant_text(text: str) -> str:
    """Return an Edm.DateTime as the service writes it: without zeros at the end of the fraction.

    Without its Z, one is less than another as texts where it is less as instants.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise RefusedError("InvalidInput")
    second, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    return f"{second}.{fraction}Z" if fraction else f"{second}Z"


def _typed(value: Any, kind: str | None) -> tuple[Any, str | None]:
    """Return a value as it is told, and its annotation where it needs one."""
    match kind:
        case None | "Edm.String" | "Edm.Int32" | "Edm.Boolean":
            if isinstance(value, str) and len(value.encode("utf-16-le")) > _MOST_BYTES:
                raise RefusedError("PropertyValueTooLarge")
            return value, None
        case "Edm.Double":
            return (float(value), None) if math.isfinite(float(value)) else (value, kind)
        case "Edm.DateTime":
            return instant_text(value), kind
        case _:
            return value, kind


def _check_keys(properties: Properties) -> None:
    for name in ("PartitionKey", "RowKey"):
        key = properties.get(name)
        if not isinstance(key, str):
            raise RefusedError("PropertiesNeedValue")
        if _UNFIT_FOR_KEY.search(key):
            raise RefusedError("InvalidInput")
