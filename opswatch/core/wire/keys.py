"""The strings under which operations, deliveries and lines of the list are kept."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

from opswatch.core.model import Key, Operation
from opswatch.core.texts import utf16_length
from opswatch.core.urls import api_version_of, name, path_of

NOTHING = "-"  # stands in a key for a part that the URL does not have
# What no key can hold, and what the XML of a queue message cannot.
_UNFIT = re.compile(r"[/\\#?%~\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999


def operation_at(url: str) -> Operation:
    """Return the operation that `url` names, under its key; raise `RefusedError` for none."""
    named = name(url)
    provider, location, collection = (
        _part(text) for text in (named.provider, named.location, named.collection)
    )
    operation_id = named.operation_id
    if _GUID.fullmatch(operation_id):
        operation_id = operation_id.lower()
    parts = [provider, location, collection, _fit(operation_id, 128)]
    if not named.standard:
        parts.append(_digest(path_of(url), 8))
    return Operation(
        key=Key(_part(named.subscription), "~".join(parts)),
        url=url,
        provider=provider if named.provider else None,
        location=location if named.location else None,
        collection=collection,
        operation_id=operation_id,
        api_version=api_version_of(url),
    )


def delivery_key(operation: Key, callback_url: str) -> Key:
    """Return where the delivery of `operation` to `callback_url` lives."""
    return Key(operation.partition, f"{operation.row}~{_digest(callback_url, 8)}")


def delivery_id(key: Key, callback_url: str) -> str:
    """Return the `webhook-id`: the same for every attempt and every replay of one delivery."""
    return f"msg_{_digest(f'{key.partition}/{key.row}/{callback_url}', 32)}"


def host_name(callback_url: str) -> str:
    """Return the host and port of a callback, under which its health is kept."""
    return _fit(urlsplit(callback_url).netloc.lower(), 128)


def timeline_key(operation: Key, registered_at: datetime) -> Key:
    """Return the place in the list of operations: newest first within its UTC date."""
    inverted = _LAST_MILLISECOND - int(registered_at.timestamp() * 1000)
    row = f"{inverted:015d}~{operation.partition}~{operation.row}"
    return Key(date_partition(registered_at), row)


def date_partition(instant: datetime) -> str:
    """Return the partition of a UTC date, which sorts as the dates do."""
    return instant.astimezone(UTC).date().isoformat()


def body_digest(body: bytes) -> str:
    """Return the key of a rejected message."""
    return sha256(body).hexdigest()


def _part(text: str | None) -> str:
    return _fit("".join(text.split()).lower(), 64) if text else NOTHING


def _fit(text: str, limit: int) -> str:
    """Return a part that a key can hold: all of them together stay below its 512 UTF-16 units."""
    is_fit = 0 < utf16_length(text) <= limit and not _UNFIT.search(text)
    return text if is_fit else _digest(text, 32)


def _digest(text: str, digits: int) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
