"""Tables of the simulation: what the adapters need, and what an invariant watches over."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from opswatch.adapters.transactions import Change, TransactionConflictError
from opswatch.core.keys import Key
from opswatch.core.watches import Watch
from opswatch.ports import Row
from opswatch.rows.codec import Codec, Entity, Noun
from opswatch.testing import MemoryTable
from tests.simulation.scheduler import Scheduler

T = TypeVar("T", bound=Noun)


class SimulatedTable(MemoryTable[T]):
    """A table in memory that decodes each version of a row once."""

    def __init__(self, codec: Codec[T]) -> None:
        super().__init__(codec)
        self._decoded: dict[Key, Row[T]] = {}

    def _read(self, key: Key) -> Row[T]:
        row = self._decoded.get(key)
        if row is None or row.etag != self.rows[key][1]:
            row = self._decoded[key] = super()._read(key)
        return row


class TransactionalTable(SimulatedTable[T]):
    """A table that can change several rows of a partition at once."""

    async def transact(self, changes: Sequence[Change]) -> list[str | None]:
        assert len({change.key for change in changes}) == len(changes), "a row twice"
        assert len({change.key.partition for change in changes}) == 1
        for index, change in enumerate(changes):
            if change.key not in self.rows or change.etag not in ("*", self.rows[change.key][1]):
                error = TransactionConflictError("conflict")
                error.index = index
                raise error
        etags: list[str | None] = []
        for change in changes:
            entity = dict(change.entity or {})
            if change.merges:
                entity = self.rows[change.key][0] | entity
            noun = self._codec.decode(entity)
            etags.append(self._write_entity(change.key, entity, noun).etag)
        return etags


class AuditedTable(TransactionalTable[T]):
    """A table that records when a row first had an end, which must not change afterwards."""

    def __init__(
        self, codec: Codec[T], scheduler: Scheduler, may_replace: Callable[[T, T], bool]
    ) -> None:
        super().__init__(codec)
        self._scheduler, self._may_replace = scheduler, may_replace
        self.ended_at: dict[Key, float] = {}
        self.on_removal: Callable[[T], None] = lambda _: None

    async def delete(self, key: Key, etag: str | None = None) -> bool:
        old = self._read(key).value if key in self.rows else None
        is_gone = await super().delete(key, etag)
        if is_gone and old is not None:
            self.ended_at.pop(key, None)
            self.on_removal(old)
        return is_gone

    def _write_entity(self, key: Key, entity: Entity, noun: T) -> Row[T]:
        if key in self.ended_at and key in self.rows:
            old: Any = self._read(key).value
            if old != noun and not self._may_replace(old, noun):
                self._scheduler.violate(f"a record is rewritten: {old} becomes {noun}")
        if not isinstance(noun, Watch) or noun.end is not None:
            self.ended_at.setdefault(key, self._scheduler.now)
        return super()._write_entity(key, entity, noun)

    async def get(self, key: Key) -> Row[T] | None:
        if task := self._scheduler.current:
            task.read_at[self, key, asyncio.current_task()] = self._scheduler.now
        return await super().get(key)

    def showed_end(self, key: Key) -> bool:
        """Return whether the current task has read the end here."""
        task, ended_at = self._scheduler.current, self.ended_at.get(key)
        read = (self, key, asyncio.current_task())  # a wake-up of several in one message
        return bool(task and ended_at and task.read_at.get(read, 0.0) > ended_at)

    def had_end(self, key: Key) -> bool:
        """Return whether the end could be read here when the current task began."""
        task = self._scheduler.current
        return task is not None and task.began > self.ended_at.get(key, task.began)
