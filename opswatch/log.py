"""One line an event: a stable name, then facts as fields, in the text and on the record."""

import logging
from datetime import datetime, timedelta
from enum import Enum

from opswatch.core.model import Key
from opswatch.core.timestamps import format_instant

_logger = logging.getLogger("opswatch")


def event(name: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Log `name` and its facts; a fact is never a token, a secret or a URL's query."""
    if not _logger.isEnabledFor(level):
        return
    facts = {field: _plain(value) for field, value in fields.items() if value is not None}
    text = " ".join([f"opswatch.{name}", *(f"{field}={value}" for field, value in facts.items())])
    _logger.log(level, "%s", text, extra={"event": f"opswatch.{name}", **facts})


def _plain(value: object) -> str | int | float:
    match value:
        case Enum():
            return value.name.lower()
        case str() | int() | float():
            return value
        case Key(partition, row):
            return f"{partition}/{row}"
        case datetime():
            return format_instant(value)
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)
