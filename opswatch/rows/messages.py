"""The queues, and the messages that opswatch sends to itself through them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from opswatch.core.keys import Key
from opswatch.core.lookahead import Look
from opswatch.core.wakeups import WakeUp, is_etag
from opswatch.core.watches import Watch
from opswatch.rows.codec import UnreadableRowError
from opswatch.rows.tables import WATCHES

OPERATIONS_QUEUE, DELIVERIES_QUEUE = QUEUES = ("operations", "deliveries")
POISON_SUFFIX = "-poison"  # the host's: of the queue for messages that it gives up
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
MOST_WAKE_UPS = 32  # in a message
# Of a message with copies. A message may have 64 KiB.
# https://learn.microsoft.com/rest/api/storageservices/put-message
_MOST_BYTES = 56 * 1024
# What a copy leaves out: what a poll does not need, may be large, or is in the wake-up itself.
_LEFT_OUT = frozenset(
    {"PartitionKey", "RowKey", "seq", "dueAt", "callbacks", "callbackOn", "clientState", "lastMiss"}
)


class WakeUpFields(msgspec.Struct, omit_defaults=True):
    """The properties of a wake-up, as a message has them."""

    partition: str
    row: str
    seq: int
    due: Instant | None = None
    traceparent: str | None = None
    etag: str | None = None
    copy: dict[str, Any] | None = None  # columns of the row


class BatchMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A message of wake-ups; one with any other property was posted by a user."""

    wake: list[WakeUpFields]  # a name that no trigger metadata has: the host would overwrite it


class _OneWakeUpMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A message of before there were batches; some may be in the queue at an upgrade."""

    wake: WakeUpFields


class _LookFields(msgspec.Struct, forbid_unknown_fields=True):
    seq: int
    due: Instant


class _LookMessage(msgspec.Struct, forbid_unknown_fields=True):
    """The message of a look-ahead."""

    look: _LookFields  # a name that no trigger metadata has


_decode = msgspec.json.Decoder(BatchMessage).decode
_decode_one = msgspec.json.Decoder(_OneWakeUpMessage).decode
_decode_look = msgspec.json.Decoder(_LookMessage).decode
_encode_json = msgspec.json.Encoder().encode
# Characters that JSON permits, but not XML, in which a message is sent: the queue would refuse it.
# Of all that XML does not permit, only these are no escapes in JSON, or cannot be UTF-8.
# https://www.w3.org/TR/xml/#charsets
_NOT_IN_XML = {"\ufffe".encode(): rb"\ufffe", "\uffff".encode(): rb"\uffff"}


def decode_message(body: bytes) -> tuple[WakeUp, ...] | Look | None:
    """Return the wake-ups of a message, a look of a look-ahead, or None if it is a user's."""
    if body.startswith(b'{"wake":[') and (batch := _decoded(_decode, body)) is not None:
        return tuple(_wake_up(fields) for fields in batch.wake)
    if body.startswith(b'{"wake":{') and (one := _decoded(_decode_one, body)) is not None:
        return (_wake_up(one.wake),)
    if body.startswith(b'{"look":') and (look := _decoded(_decode_look, body)) is not None:
        return Look(look.look.seq, look.look.due)
    return None


def _decoded(decode: Any, body: bytes) -> Any:
    try:
        return decode(body)
    except (ValueError, RecursionError):
        return None


def _encode(fields: msgspec.Struct) -> bytes:
    text = _encode_json(fields)
    for character, escape in _NOT_IN_XML.items():
        text = text.replace(character, escape)
    return text


def encode_look(look: Look) -> bytes:
    """Return the message of a look of a look-ahead."""
    return _encode(_LookMessage(_LookFields(look.seq, look.due_at)))


def encode_wake_ups(wakes: Sequence[WakeUp]) -> Iterator[bytes]:
    """Yield messages that together carry `wakes`, each at most 32 and their copies if they fit."""
    for start in range(0, len(wakes), MOST_WAKE_UPS):
        batch = wakes[start : start + MOST_WAKE_UPS]
        bare = [_encode(_fields(wake)) for wake in batch]
        room = _MOST_BYTES - sum(map(len, bare))
        parts: list[bytes] = []
        for wake, part in zip(batch, bare, strict=True):
            if wake.copy is not None and wake.copy.end is None:  # an end needs the whole row
                whole = _encode(_fields(wake, _copy(wake.copy)))
                more = len(whole) - len(part)
                if more <= room:
                    room -= more
                    parts.append(whole)
                    continue
            parts.append(part)
        yield b'{"wake":[' + b",".join(parts) + b"]}"


def _fields(wake: WakeUp, copy: dict[str, Any] | None = None) -> WakeUpFields:
    return WakeUpFields(
        wake.key.partition,
        wake.key.row,
        wake.seq,
        wake.due_at,
        wake.traceparent,
        wake.etag if copy else None,
        copy,
    )


def _copy(watch: Watch) -> dict[str, Any]:
    entity = WATCHES.encode(watch)
    return {name: value for name, value in entity.items() if name not in _LEFT_OUT}


def _wake_up(fields: WakeUpFields) -> WakeUp:
    """Return a wake-up; a copy that cannot be read, proves nothing or has an end is left out."""
    copy: Watch | None = None
    if fields.copy and fields.etag and fields.due and is_etag(fields.etag):
        keys = {"PartitionKey": fields.partition, "RowKey": fields.row}
        entity = {**fields.copy, **keys, "seq": fields.seq, "dueAt": fields.due}
        try:
            copy = WATCHES.decode(entity)
        except UnreadableRowError:
            copy = None
        if copy is not None and copy.end is not None:  # we send none
            copy = None
    return WakeUp(
        key=Key(fields.partition, fields.row),
        seq=fields.seq,
        due_at=fields.due,
        traceparent=fields.traceparent,
        copy=copy,
        etag=fields.etag if copy else None,
    )
