"""The timeline beside its entries: the indexes of what did not succeed and of settled deliveries.

The entries themselves are in `watches.py`. Every index has a partition for each date, so that a
list reads what it returns.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus, Result, TimelineEntry, newest_first, timeline_entry

# Statuses that have an index. `Succeeded` has none: nine of ten operations have it.
_ORIGIN = re.compile(r"([^:/]*)://([^/?#\\]*)")
INDEXED = frozenset(FinalStatus) - {FinalStatus.SUCCEEDED}


@dataclass(frozen=True, slots=True)
class UnsuccessfulEntry:
    """A timeline's entry again, among the operations of its date that ended with its status."""

    entry: TimelineEntry

    @property
    def key(self) -> Key:
        """The entry's, in the partition of its date and status."""
        key = self.entry.key
        return Key(f"{key.partition}~{self.entry.status}", key.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledEntry:
    """A settled delivery in the index of its date: what a list shows."""

    operation: Key
    delivery_key: str  # the row key of its record
    delivery_id: str
    state: DeliveryState
    settled_at: datetime
    callback_url: str  # scheme and host: the rest may be a secret
    reason: str | None = None
    attempts: int = 0
    last_status_code: int | None = None
    last_error: str | None = None
    last_attempt_at: datetime | None = None
    delivered_at: datetime | None = None

    @property
    def record(self) -> Key:
        """The key of its record."""
        return Key(self.operation.partition, self.delivery_key)

    @property
    def key(self) -> Key:
        """The date and state, then the time of settling: newest first within the date."""
        key = newest_first(self.settled_at, self.record)
        return Key(f"{key.partition}~{self.state.value}", key.row)


def unsuccessful_entry(entry: TimelineEntry) -> UnsuccessfulEntry | None:
    """Return the entry of the index by status; None if the status has none."""
    return UnsuccessfulEntry(entry) if entry.status in INDEXED else None


def replaced_entries(result: Result) -> tuple[UnsuccessfulEntry, ...]:
    """Return the index entries of earlier ends that the end of `result` has replaced."""
    entry = timeline_entry(result.facts, result.end)
    earlier = {end.status for end in result.earlier_ends} - {result.end.status}
    return tuple(
        UnsuccessfulEntry(replace(entry, status=status.value)) for status in sorted(earlier)
    )


def settled_entry(record: Delivery) -> SettledEntry:
    """Return the index entry of a settled delivery; of its callback URL no more than the host."""
    return SettledEntry(
        operation=record.operation,
        delivery_key=record.key.row,
        delivery_id=record.delivery_id,
        state=record.state,
        settled_at=_settled_at(record),
        callback_url=origin_of(record.callback_url),
        reason=record.reason,
        attempts=record.attempts,
        last_status_code=record.last_status_code,
        last_error=without_url(record.last_error, record.callback_url),
        last_attempt_at=record.last_attempt_at,
        delivered_at=record.delivered_at,
    )


def timeline_keys(noun: TimelineEntry | Result | Delivery) -> tuple[Key, ...]:
    """Return the keys of all rows of the table `timeline` that belong to an operation or delivery.

    Those of the indexes come first, and the timeline's own entry last: a removal that is
    interrupted finds it again.
    """
    match noun:
        case Delivery(state=DeliveryState.PENDING):
            return ()
        case Delivery():
            return (settled_entry(noun).key,)
        case Result():
            replaced = tuple(entry.key for entry in replaced_entries(noun))
            return replaced + timeline_keys(timeline_entry(noun.facts, noun.end))
        case TimelineEntry():
            index = unsuccessful_entry(noun)
            return (index.key, noun.key) if index else (noun.key,)


def origin_of(url: str) -> str:
    """Return the scheme and host of a callback URL, which are all of it that may be shown."""
    origin = _ORIGIN.match(url)
    return f"{origin[1]}://{origin[2].rpartition('@')[2]}" if origin else ""


def without_url(text: str | None, url: str) -> str | None:
    """Return a receiver's answer without the part of the receiver's URL that may be a secret."""
    origin = _ORIGIN.match(url)
    if text is None or origin is None:
        return text
    secret = url[origin.end() :]
    for part in (secret, secret.partition("?")[0]):
        if len(part) > 1:
            text = text.replace(part, "/…")
    return text


def _settled_at(record: Delivery) -> datetime:
    return record.settled_at or record.delivered_at or record.last_attempt_at or record.started_at
