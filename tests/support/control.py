"""What a person does who wants everything again that an operation has sent."""

from opswatch.core.keys import Key
from opswatch.ports import Query, Services
from opswatch.steps import control


async def redeliver(services: Services, operation: Key) -> int:
    """Begin a new round of every settled delivery; return how many were begun.

    A pending delivery is left alone, and so is that of an earlier round, whose result has been
    replaced.
    """
    now = services.clock()
    count = 0
    query = Query(partition=operation.partition, row_prefix=f"{operation.row}~")
    async for settled in services.store.deliveries.find(query):
        if settled.value.operation == operation:
            count += await control._requeue(services, settled.value, now)
    return count
