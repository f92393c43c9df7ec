"""A stand-in for Azure Queue and Table Storage, fast enough that it is not what is measured.

It implements the part of the REST protocol that opswatch uses, so that the real adapters work
against it; signatures are not verified, and everything is kept in memory.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from opswatch.config import development_storage
from tests.support.clock import Clock, SimulatedClock, utc_now
from tests.support.storage.http import serving
from tests.support.storage.queue_service import QueueService
from tests.support.storage.table_service import TableService


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A stand-in that runs in this process."""

    queues: QueueService
    tables: TableService
    clock: Clock
    ports: tuple[int, int]  # of the queues, of the tables

    @property
    def connection_string(self) -> str:
        """For `AzureWebJobsStorage`."""
        return connection_string(*self.ports)

    async def jump(self, until: datetime) -> datetime:
        return self.jump_now(until)

    def jump_now(self, until: datetime) -> datetime:
        """Do as `jump`, without a coroutine."""
        assert isinstance(self.clock, SimulatedClock)
        following = self.queues.next_visible_at() or until
        self.clock.now = max(self.clock.now, min(following, until))
        return self.clock.now


@asynccontextmanager
async def running_stand_in(clock: Clock = utc_now) -> AsyncIterator[StandIn]:
    """Yield a stand-in that uses `clock`."""
    queues, tables = QueueService(clock), TableService(clock)
    async with serving(queues.answer) as queue_port, serving(tables.answer) as table_port:
        yield StandIn(queues=queues, tables=tables, clock=clock, ports=(queue_port, table_port))


def connection_string(queue_port: int, table_port: int) -> str:
    """Return the connection string of services on these ports of this machine."""
    return development_storage({"queue": queue_port, "table": table_port})
