"""The stand-in as it runs: both services on free ports, and how to connect to them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from opswatch.config import development_storage
from tests.support.storage.clock import Clock, SimulatedClock, machine_clock
from tests.support.storage.http import serving
from tests.support.storage.queue_service import QueueService
from tests.support.storage.table_service import TableService


class Storage(Protocol):
    """A stand-in, wherever it runs."""

    @property
    def connection_string(self) -> str:
        """How to connect to it."""

    async def jump(self, until: datetime) -> datetime:
        """Move its simulated clock to the next visible message, at most to `until`; return that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A stand-in that runs in this process."""

    queues: QueueService
    tables: TableService
    clock: Clock
    ports: tuple[int, int]  # of the queues, of the tables

    @property
    def connection_string(self) -> str:
        """How to connect to it."""
        return connection_string(*self.ports)

    async def jump(self, until: datetime) -> datetime:
        """Move its simulated clock to the next visible message, at most to `until`; return that."""
        return self.jump_now(until)

    def jump_now(self, until: datetime) -> datetime:
        """Do what `jump` does, for those who need not wait."""
        assert isinstance(self.clock, SimulatedClock)  # noqa: S101 - time itself does not jump
        following = self.queues.next_visible_at() or until
        self.clock.now = max(self.clock.now, min(following, until))
        return self.clock.now


@asynccontextmanager
async def running_stand_in(clock: Clock = machine_clock) -> AsyncIterator[StandIn]:
    """Yield a stand-in that goes by `clock`."""
    queues, tables = QueueService(clock), TableService(clock)
    async with AsyncExitStack() as stack:
        ports = (
            await stack.enter_async_context(serving(queues.answer)),
            await stack.enter_async_context(serving(tables.answer)),
        )
        yield StandIn(queues=queues, tables=tables, clock=clock, ports=ports)


def connection_string(queue_port: int, table_port: int) -> str:
    """Return how to connect to services on these ports of this machine."""
    return development_storage({"queue": queue_port, "table": table_port})
