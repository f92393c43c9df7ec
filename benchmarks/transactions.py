"""What 30 changes of rows cost: requests of their own, one transaction, and the SDK's.

`python -m benchmarks.transactions` prints a line each, and then one line of JSON with the CPU of
this process in microseconds a row. The storage is a stand-in in another process.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.data.tables import UpdateMode

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.adapters.transactions import Change
from opswatch.config import Storage
from opswatch.core.keys import Key
from opswatch.core.watches import Watch
from opswatch.rows.tables import WATCHES
from tests.support.builders import operation, watch
from tests.support.storage.process import stand_in_process

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient

ROWS, ROUNDS = 30, 40
Etags = list[str]


class Writers:
    """Ways to write the same rows; each takes and returns the rows' ETags."""

    def __init__(self, table: AzureTable[Watch], client: "TableClient") -> None:
        self._table, self._client = table, client
        self.rows = [
            watch(operation=replace(operation(), key=Key("p" * 36, f"{number:080}")))
            for number in range(ROWS)
        ]

    async def requests_in_turn(self, etags: Etags) -> Etags:
        """Replace each row with a request of its own, one after another."""
        return [await self._replace(row, etag) for row, etag in zip(self.rows, etags, strict=True)]

    async def requests_at_once(self, etags: Etags) -> Etags:
        """Do so at the same time."""
        pairs = zip(self.rows, etags, strict=True)
        return list(await asyncio.gather(*(self._replace(row, etag) for row, etag in pairs)))

    async def transaction(self, etags: Etags) -> Etags:
        """Replace all rows in one transaction."""
        return await self._transact(etags, WATCHES.encode)

    async def transaction_of_merges(self, etags: Etags) -> Etags:
        """Merge two columns into each row, in one transaction."""
        return await self._transact(
            etags, lambda row: {"seq": row.seq, "dueAt": row.due_at}, merges=True
        )

    async def sdk(self, etags: Etags) -> Etags:
        """Replace all rows in one transaction of the SDK."""
        operations: list[Any] = [
            (
                "update",
                WATCHES.encode(row),
                {
                    "mode": UpdateMode.REPLACE,
                    "etag": etag,
                    "match_condition": MatchConditions.IfNotModified,
                },
            )
            for row, etag in zip(self.rows, etags, strict=True)
        ]
        return [answer["etag"] for answer in await self._client.submit_transaction(operations)]

    async def _replace(self, row: Watch, etag: str) -> str:
        written = await self._table.replace(row, etag)
        return written.etag if written else ""

    async def _transact(
        self, etags: Etags, encode: Callable[[Watch], dict[str, Any]], *, merges: bool = False
    ) -> Etags:
        changes = [
            Change(key=row.key, etag=etag, entity=encode(row), merges=merges)
            for row, etag in zip(self.rows, etags, strict=True)
        ]
        return [etag or "" for etag in await self._table.transact(changes)]


async def main() -> None:
    """Measure each way in turn, and print the medians."""
    async with stand_in_process() as stand_in:
        account = Account(Storage(connection_string=stand_in.connection_string))
        client = account.table("rows")
        await client.create_table()
        table = AzureTable(account, WATCHES, "rows")
        writers = Writers(table, client)
        inserted = [await table.insert(row) for row in writers.rows]
        etags = [row.etag for row in inserted if row]
        ways: list[Callable[[Etags], Awaitable[Etags]]] = [
            writers.requests_in_turn,
            writers.requests_at_once,
            writers.transaction,
            writers.transaction_of_merges,
            writers.sdk,
        ]
        spent: dict[str, list[float]] = {way.__name__: [] for way in ways}
        for _ in range(ROUNDS):
            for way in ways:
                begin = process_time()
                etags = await way(etags)
                spent[way.__name__].append(process_time() - begin)
        await account.close()
    figures = {name: round(median(times) / ROWS * 1e6) for name, times in spent.items()}
    for name, microseconds in figures.items():
        print(f"{name:24} {microseconds:6} µs of CPU a row")
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
