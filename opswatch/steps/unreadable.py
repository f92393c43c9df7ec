"""Rows that cannot be decoded, in tables that opswatch can do without."""

from typing import TypeVar

from opswatch.core.keys import Key
from opswatch.ports import Row, Table
from opswatch.rows.codec import Noun, UnreadableRowError

T = TypeVar("T", bound=Noun)


async def get_or_remove(table: Table[T], key: Key) -> Row[T] | None:
    """Return the row, or None if there is none; remove a row that cannot be decoded.

    Only for what is written again from elsewhere: a look-ahead, a circuit, a timeline entry,
    a rejection whose message is at hand. A watch, a result or a delivery is left for a person.
    """
    try:
        return await table.get(key)
    except UnreadableRowError:
        await table.delete(key)
        return None
