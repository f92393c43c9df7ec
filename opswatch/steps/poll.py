"""One poll of one watch: fence, read, decide, send the successor, commit."""

from dataclasses import replace

from opswatch import log
from opswatch.core import arm
from opswatch.core.decide import NOT_YET_DELAY, Fence, Finish, Wait, after_poll, fence
from opswatch.core.model import Missed, Observation, WakeUp, Watch
from opswatch.ports import Versioned, World
from opswatch.steps.finish import finish


async def poll(world: World, wake: WakeUp) -> None:
    """Poll the watch that `wake` names, if it still stands where the wake-up says."""
    stored = await world.store.watches.get(wake.key)
    if stored is None:
        log.event("dropped", key=wake.key, seq=wake.seq, why="ended")
        return
    match fence(wake.seq, stored.noun.seq):
        case Fence.DROP:
            log.event("dropped", key=wake.key, seq=wake.seq, why="stale")
        case Fence.NOT_YET:
            log.event("not_yet", key=wake.key, seq=wake.seq, row_seq=stored.noun.seq)
            await world.operations.send(wake, NOT_YET_DELAY)
        case Fence.WORK if stored.noun.end is not None:  # a crash came between the end and us
            await finish(world, stored)
        case Fence.WORK:
            await _poll_once(world, stored, wake)


async def _poll_once(world: World, stored: Versioned[Watch], wake: WakeUp) -> None:
    answer = await world.arm.get(stored.noun.operation.url)
    now = world.clock()
    seen = arm.read(answer, endpoint=world.intake.endpoint, now=now)
    action = after_poll(stored.noun, seen, now, world.policy)
    _log(stored.noun, seen, action)
    match action:
        case Wait(watch):
            successor = replace(wake, seq=watch.seq)
            sent = await world.operations.send(successor, watch.due_at - now)
            if await _commit(world, stored, watch) is None:
                await world.operations.take_back(sent)
        case Finish(watch):
            kept = await _commit(world, stored, watch)
            if kept is not None:
                await finish(world, kept)


async def _commit(world: World, stored: Versioned[Watch], watch: Watch) -> Versioned[Watch] | None:
    """Write what follows from a poll; return None where another worker was first.

    A receiver may have been added meanwhile: it is kept.
    """
    version = stored.version
    while True:
        committed = await world.store.watches.replace(watch, version)
        if committed is not None:
            return committed
        now_there = await world.store.watches.get(watch.operation.key)
        if now_there is None or now_there.noun.end or now_there.noun.seq != stored.noun.seq:
            log.event("overtaken", key=watch.operation.key, seq=stored.noun.seq)
            return None
        watch = replace(watch, callbacks=now_there.noun.callbacks)
        version = now_there.version


def _log(watch: Watch, seen: Observation, action: Wait | Finish) -> None:
    key, seq = watch.operation.key, watch.seq
    missed = seen.reason if isinstance(seen, Missed) else None
    match action:
        case Wait(after):
            delay = after.due_at - (after.last_polled_at or after.due_at)
            log.event("poll", key=key, seq=seq, status=after.status, miss=missed, delay=delay)
        case Finish(after):
            end = after.end and after.end.status.value
            log.event("poll", key=key, seq=seq, status=after.status, miss=missed, end=end)
