"""A table: entities under their keys, in order, each with its version. No HTTP in here."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from tests.support.clock import Clock
from tests.support.storage.entities import Properties, instant_text, merge
from tests.support.storage.errors import RefusedError

EntityKey = tuple[str, str]  # partition, row
_ANY = "*"
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity, and when it was written."""

    properties: Properties
    timestamp: str

    @property
    def key(self) -> EntityKey:
        return self.properties["PartitionKey"], self.properties["RowKey"]

    @property
    def etag(self) -> str:
        """Its version: no two writes to a table have the same."""
        return f"W/\"datetime'{self.timestamp.replace(':', '%3A')}'\""


class EntityTable:
    """Entities by their key, and the keys in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written_at = clock()
        self._entities: dict[EntityKey, Entity] = {}
        self._keys: list[EntityKey] = []

    def __len__(self) -> int:
        return len(self._entities)

    def get(self, key: EntityKey) -> Entity:
        try:
            return self._entities[key]
        except KeyError:
            raise RefusedError("ResourceNotFound") from None

    def insert(self, properties: Properties) -> Entity:
        if (properties["PartitionKey"], properties["RowKey"]) in self._entities:
            raise RefusedError("EntityAlreadyExists")
        return self._write(properties)

    def load(self, many: Iterable[Properties]) -> None:
        """Put many entities at once: one by one, each would move the keys after its own."""
        for properties in many:
            entity = self._stamped(properties)
            self._entities[entity.key] = entity
        self._keys = sorted(self._entities)

    def replace(self, properties: Properties, version: str | None) -> Entity:
        """Overwrite the entity that has `version`; without a version, any or none."""
        self._check((properties["PartitionKey"], properties["RowKey"]), version)
        return self._write(properties)

    def merge(self, properties: Properties, version: str | None) -> Entity:
        """Merge into the entity that has `version`; without a version, into any or none."""
        key = (properties["PartitionKey"], properties["RowKey"])
        self._check(key, version)
        current = self._entities.get(key)
        return self._write(merge(current.properties, properties) if current else properties)

    def delete(self, key: EntityKey, version: str) -> None:
        """Remove the entity that has `version`."""
        self._check(key, version)
        del self._entities[key]
        del self._keys[bisect_left(self._keys, key)]

    def peek(self, key: EntityKey) -> Entity | None:
        return self._entities.get(key)

    def restore(self, key: EntityKey, entity: Entity | None) -> None:
        """Put back what `peek` returned before a change that is not to be."""
        if entity is None:
            if key in self._entities:
                self.delete(key, _ANY)
            return
        if key not in self._entities:
            insort(self._keys, key)
        self._entities[key] = entity

    def page(
        self,
        start: EntityKey,
        selects: Callable[[Entity], bool],
        most: int,
        stop: EntityKey | None = None,
    ) -> tuple[list[Entity], EntityKey | None]:
        """Return up to `most` of the selected entities from `start` to `stop`, and the next key."""
        found: list[Entity] = []
        end = len(self._keys) if stop is None else bisect_left(self._keys, stop)
        for index in range(bisect_left(self._keys, start), end):
            key = self._keys[index]
            entity = self._entities[key]
            if not selects(entity):
                continue
            if len(found) == most:
                return found, key
            found.append(entity)
        return found, None

    def _check(self, key: EntityKey, version: str | None) -> None:
        if version is not None and self.get(key).etag != version != _ANY:
            raise RefusedError("UpdateConditionNotSatisfied")

    def _stamped(self, properties: Properties) -> Entity:
        self._written_at = max(self._clock(), self._written_at + _TICK)
        return Entity(properties, instant_text(f"{self._written_at:%Y-%m-%dT%H:%M:%S.%f}Z"))

    def _write(self, properties: Properties) -> Entity:
        entity = self._stamped(properties)
        if entity.key not in self._entities:
            insort(self._keys, entity.key)
        self._entities[entity.key] = entity
        return entity
