"""Ending a watch because a user says so; ARM's operation goes on."""

from enum import Enum, auto

from opswatch.core import decide
from opswatch.core.model import FinalStatus, Key
from opswatch.ports import World
from opswatch.steps.finish import finish


class Stopping(Enum):
    """What came of the wish to stop a watch."""

    STOPPED = auto()
    ENDED_BEFORE = auto()
    UNKNOWN = auto()


async def stop(world: World, key: Key) -> Stopping:
    """End the watch `key` with the result `Stopped`; nobody is called back."""
    while True:
        stored = await world.store.watches.get(key)
        if stored is None or stored.noun.end is not None:
            ended = stored is not None or await world.store.results.get(key) is not None
            return Stopping.ENDED_BEFORE if ended else Stopping.UNKNOWN
        stopped = decide.stop(stored.noun, world.clock()).watch
        kept = await world.store.watches.replace(stopped, stored.version)
        if kept is not None:
            result = await finish(world, kept)
            is_ours = result.end.status is FinalStatus.STOPPED
            return Stopping.STOPPED if is_ours else Stopping.ENDED_BEFORE
