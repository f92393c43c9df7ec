"""A live table whose conditional writes go together, in one transaction for each partition."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from azure.core.exceptions import HttpResponseError

from opswatch.adapters.gatherer import Gatherer, InFlight
from opswatch.adapters.transactions import (
    MOST_BYTES,
    MOST_CHANGES,
    Change,
    TransactionConflictError,
)
from opswatch.core.keys import Key
from opswatch.ports import Page, Query, Row, Table
from opswatch.rows.codec import Codec, Noun

T = TypeVar("T", bound=Noun)
_MOST_REMEMBERED = 5000  # rows, of some 3 KB
_MOST_CONFLICTS = 2  # of a transaction, before its changes go one by one
_MOST_PLAIN = 16_384  # bytes of a change besides its texts
_ONE_ALONE = frozenset({400, 413})  # answers that one change may be the reason of
_CONFLICT = None  # the outcome of a change whose condition does not hold


class TransactionalTable(Table[T], Protocol[T]):
    """A table that can change several rows of a partition at once."""

    async def transact(self, changes: Sequence[Change]) -> list[str | None]:
        """Apply changes, all or none: see `AzureTable.transact`."""


class GatheredTable(Generic[T]):
    """Gathers replacements and merges of one partition for 200 ms; the rest is the inner table's.

    A write whose answer got lost is repeated, and then conflicts with itself: so a conflict with
    just what was to be written is a success.
    """

    def __init__(
        self,
        inner: TransactionalTable[T],
        codec: Codec[T],
        in_flight: InFlight,
        remembers: Callable[[T], bool] = lambda _: False,
    ) -> None:
        self._inner = inner
        self._codec = codec
        self._remembers = remembers
        self._remembered: OrderedDict[Key, Row[T]] = OrderedDict()
        self._gatherer = Gatherer(in_flight, self._write, MOST_CHANGES)

    async def get(self, key: Key) -> Row[T] | None:
        """Return the row, or None if there is none."""
        return await self._inner.get(key)

    async def insert(self, noun: T) -> Row[T] | None:
        """Write a new row; return None, changing nothing, if the key is taken."""
        return await self._inner.insert(noun)

    async def replace(self, noun: T, etag: str) -> Row[T] | None:
        """Overwrite the row that has `etag`; return None if it has changed or is gone."""
        change = Change(key=noun.key, etag=etag, entity=self._codec.encode(noun))
        return await self._commit(change, noun, is_copy=False)

    async def merge(self, row: Row[T], noun: T) -> Row[T] | None:
        """Write what `noun` changes of `row`; return None if the row has changed or is gone.

        None, too, if `row` is a copy and cannot be merged: a field has lost its value.
        """
        changed = self._codec.changes(row.value, noun)
        if changed is not None:
            change = Change(key=noun.key, etag=row.etag, entity=changed, merges=True)
        elif row.is_copy:
            return None
        else:
            change = Change(key=noun.key, etag=row.etag, entity=self._codec.encode(noun))
        return await self._commit(change, noun, is_copy=row.is_copy)

    def recall(self, key: Key) -> Row[T] | None:
        """Return the row as this process wrote it last, if it remembers: stale perhaps."""
        return self._remembered.get(key)

    async def put(self, noun: T) -> None:
        """Write the row, unconditionally."""
        await self._inner.put(noun)

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        """Remove the row, if it has `etag` (if one is given); return False if it has another."""
        self._remembered.pop(key, None)
        return await self._inner.delete(key, etag)

    async def delete_all(self, rows: Sequence[Row[T]]) -> set[Key]:
        """Remove the rows that have not changed, each named once; return the keys of the others."""
        for row in rows:
            self._remembered.pop(row.value.key, None)
        return await self._inner.delete_all(rows)

    def find(self, query: Query) -> AsyncIterator[Row[T]]:
        """Yield the rows that `query` selects, in the order of their keys."""
        return self._inner.find(query)

    async def find_page(
        self, query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[T]]:
        """Return at most `limit` (1 to 1000) of the rows that `query` selects, in order."""
        return await self._inner.find_page(query, limit, continuation)

    async def _commit(self, change: Change, noun: T, *, is_copy: bool) -> Row[T] | None:
        self._remembered.pop(change.key, None)
        etag = await self._gatherer.submit(change.key.partition, change)
        if etag is _CONFLICT:
            return await self._row_if_written(change)
        row = Row(noun, etag, is_copy)
        if self._remembers(noun):
            self._remembered[change.key] = row
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return row

    async def _row_if_written(self, change: Change) -> Row[T] | None:
        """Return the row if it has what the change was to write: its answer may have got lost."""
        current = await self._inner.get(change.key)
        if current is None:
            return None
        entity, wanted = self._codec.encode(current.value), change.entity or {}
        is_written = (
            all(entity.get(name) == value for name, value in wanted.items())
            if change.merges
            else entity == wanted
        )
        return current if is_written else None

    async def _write(self, _: str, changes: list[Change]) -> list[str | Exception | None]:
        """Apply changes of one partition in as few transactions as there can be.

        If one is refused, the others go again without it: it lets none of them fail. After a second
        one, and after an error that may be one change's alone, each goes alone.
        """
        outcomes: list[str | Exception | None] = [_CONFLICT] * len(changes)
        for group in _groups(changes):
            left = group
            for _conflict in range(_MOST_CONFLICTS):
                if left:
                    left = await self._transact(changes, left, outcomes)
            alone = (self._transact(changes, [index], outcomes) for index in left)
            await asyncio.gather(*alone)
        return outcomes

    async def _transact(
        self, changes: list[Change], group: list[int], outcomes: list[str | Exception | None]
    ) -> list[int]:
        """Try to apply the changes with these indexes; return which to try again."""
        try:
            etags = await self._inner.transact([changes[index] for index in group])
        except TransactionConflictError as conflict:
            if len(group) == 1:
                return []
            return [index for at, index in enumerate(group) if at != conflict.index]
        except Exception as error:
            may_be_one = isinstance(error, HttpResponseError) and error.status_code in _ONE_ALONE
            if may_be_one and len(group) > 1:
                return group
            for index in group:
                outcomes[index] = error
            return []
        for index, etag in zip(group, etags, strict=True):
            outcomes[index] = etag
        return []


def _groups(changes: Sequence[Change]) -> list[list[int]]:
    """Return the indexes of changes that may go together: each row once, and not too many bytes.

    A character takes up to 12 bytes, as two escapes of JSON in ASCII.
    """
    groups: list[list[int]] = []
    rows: set[Key] = set()
    size = MOST_BYTES
    for index, change in enumerate(changes):
        columns = (change.entity or {}).values()
        more = _MOST_PLAIN + 12 * sum(len(value) for value in columns if isinstance(value, str))
        if size + more > MOST_BYTES or change.key in rows:
            groups.append([])
            rows, size = set(), 0
        groups[-1].append(index)
        rows.add(change.key)
        size += more
    return groups
