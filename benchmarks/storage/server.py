"""The stand-in as it runs: both services on free ports, and how to connect to them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks.storage.clock import Clock, machine_clock
from benchmarks.storage.http import serving
from benchmarks.storage.queue_service import QueueService
from benchmarks.storage.table_service import TableService
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A stand-in that runs in this process."""

    queues: QueueService
    tables: TableService
    connection_string: str


@asynccontextmanager
async def running_stand_in(clock: Clock = machine_clock) -> AsyncIterator[StandIn]:
    """Yield a stand-in that goes by `clock`."""
    queues, tables = QueueService(clock), TableService(clock)
    async with AsyncExitStack() as stack:
        queue_port = await stack.enter_async_context(serving(queues.answer))
        table_port = await stack.enter_async_context(serving(tables.answer))
        connection = connection_string(queue_port, table_port)
        yield StandIn(queues=queues, tables=tables, connection_string=connection)


def connection_string(queue_port: int, table_port: int) -> str:
    """Return how to connect to services on these ports of this machine."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={DEVELOPMENT_ACCOUNT};"
        f"AccountKey={DEVELOPMENT_KEY};"
        f"QueueEndpoint=http://127.0.0.1:{queue_port}/{DEVELOPMENT_ACCOUNT};"
        f"TableEndpoint=http://127.0.0.1:{table_port}/{DEVELOPMENT_ACCOUNT};"
    )
