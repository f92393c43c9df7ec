"""All that the app has written, and what its queues hold, at one instant."""

from dataclasses import dataclass
from typing import TypeVar

from azure.core.exceptions import ResourceNotFoundError

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.core.deliveries import Delivery
from opswatch.core.keys import Key
from opswatch.core.watches import Result
from opswatch.ports import Query
from opswatch.rows.codec import Codec
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from opswatch.rows.tables import DELIVERIES, OUTBOX, REJECTIONS, RESULTS, WATCHES

T = TypeVar("T")
_QUEUES = [name + suffix for name in QUEUES for suffix in ("", POISON_SUFFIX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The live tables, the records, and the queues."""

    watches: list[Key]
    results: dict[Key, Result]
    outbox: list[Key]
    deliveries: list[Delivery]
    rejections: dict[str, str]  # reasons by the digest of the body
    waiting: dict[str, int]  # messages in each queue, hidden ones included


async def read_tables(account: Account) -> Tables:
    """Read the live tables first: what leaves them meanwhile is then found among the records."""
    return Tables(
        watches=[watch.key for watch in await _rows(account, WATCHES)],
        outbox=[delivery.key for delivery in await _rows(account, OUTBOX)],
        results={result.facts.operation.key: result for result in await _rows(account, RESULTS)},
        deliveries=await _rows(account, DELIVERIES),
        rejections={
            rejection.body_sha256: rejection.reason.value
            for rejection in await _rows(account, REJECTIONS)
        },
        waiting={name: await _length(account, name) for name in _QUEUES},
    )


async def _rows(account: Account, codec: Codec[T]) -> list[T]:
    table = AzureTable(account, codec)
    return [row.value async for row in table.find(Query())]


async def _length(account: Account, name: str) -> int:
    try:
        properties = await account.queue(name).get_queue_properties()
    except ResourceNotFoundError:
        return 0  # a poison queue is made when it is needed
    return properties.approximate_message_count or 0
