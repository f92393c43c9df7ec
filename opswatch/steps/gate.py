"""The fence of both chains: which live row a wake-up is for, if it is for one still."""

from typing import TypeVar

from opswatch import log
from opswatch.core.decide import NOT_YET_DELAY, Fence, fence
from opswatch.core.model import Delivery, WakeUp, Watch
from opswatch.ports import Queue, Table, Versioned

Live = TypeVar("Live", Watch, Delivery)


async def row_for(table: Table[Live], queue: Queue, wake: WakeUp) -> Versioned[Live] | None:
    """Return the row that `wake` is to act on; None where there is nothing to do, or not yet.

    A wake-up whose row is still to be committed is sent once more.
    """
    stored = await table.get(wake.key)
    if stored is None:
        log.event("dropped", key=wake.key, seq=wake.seq, why="ended")
        return None
    match fence(wake.seq, stored.noun.seq):
        case Fence.WORK:
            return stored
        case Fence.DROP:
            log.event("dropped", key=wake.key, seq=wake.seq, why="stale")
        case Fence.NOT_YET:
            log.event("not_yet", key=wake.key, seq=wake.seq, row_seq=stored.noun.seq)
            await queue.send(wake, NOT_YET_DELAY)
    return None
