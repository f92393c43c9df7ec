"""Properties of entities: as the table service accepts them, and as it returns them.

https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations:
a property whose type its JSON does not show has an annotation beside it, `X@odata.type`.
"""

import math
import re
from typing import Any

from tests.support.storage.errors import RefusedError

Properties = dict[str, Any]  # by name, annotations included, as in JSON
ANNOTATION = "@odata.type"
_MOST_BYTES = 64 * 1024  # of a string in UTF-16
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z", re.ASCII)
_UNFIT_FOR_KEY = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")


def accept(given: Properties) -> Properties:
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


def merge(current: Properties, given: Properties) -> Properties:
    """Return the properties of an entity after a merge of the `given` ones."""
    kept = {n: v for n, v in current.items() if n.removesuffix(ANNOTATION) not in given}
    return kept | given


def select(properties: Properties, names: set[str]) -> Properties:
    """Return the properties in `names`, with their annotations."""
    return {n: v for n, v in properties.items() if n.removesuffix(ANNOTATION) in names}


def without_annotations(properties: Properties) -> Properties:
    return {n: v for n, v in properties.items() if not n.endswith(ANNOTATION)}


def instant_text(text: str) -> str:
    """Return an Edm.DateTime as the service writes it: no zeros at the end of the fraction.

    Without its Z, such texts have the order of their instants.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise RefusedError("InvalidInput")
    second, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    return f"{second}.{fraction}Z" if fraction else f"{second}Z"


def _typed(value: Any, kind: str | None) -> tuple[Any, str | None]:
    """Return a value as it is returned to clients, and its annotation if it needs one."""
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
