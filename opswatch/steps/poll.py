"""One poll of one watch: fence, read, decide, send the successor, commit."""

from dataclasses import replace
from typing import assert_never

from opswatch import log
from opswatch.core import arm
from opswatch.core.decide import Finish, Wait, after_poll, news_for
from opswatch.core.model import WakeUp, Watch
from opswatch.ports import Versioned, World
from opswatch.steps import tell
from opswatch.steps.finish import finish, finish_with
from opswatch.steps.gate import row_for


async def poll(world: World, wake: WakeUp) -> None:
    """Poll the watch that `wake` names, if it still stands where the wake-up says."""
    stored = await row_for(world.store.watches, world.operations, wake)
    if stored is not None:
        await _work(world, stored, wake)


async def _work(world: World, stored: Versioned[Watch], wake: WakeUp) -> None:
    """Poll, unless a crash has come between an end and us."""
    watch = stored.noun
    if watch.end is not None:
        await finish(world, stored)
        return
    if watch.polls == 0:  # it may have begun after the end, for a receiver that came late
        ended = await world.store.results.get(watch.key)
        if ended is not None:
            await finish_with(world, stored, ended.noun)
            return
    with tell.span(world, "poll", wake.key, wake.seq, link=wake.traceparent):
        await _poll_once(world, stored, wake)


async def _poll_once(world: World, stored: Versioned[Watch], wake: WakeUp) -> None:
    answer = await world.arm.get(stored.noun.operation.url)
    now = world.clock()
    seen = arm.read(answer, endpoint=world.intake.endpoint, now=now)
    action = after_poll(stored.noun, seen, now, world.policy)
    tell.polled(world, stored.noun, answer, seen, action)
    match action:
        case Wait(watch):
            successor = replace(wake, seq=watch.seq, traceparent=world.telemetry.traceparent())
            sent = await world.operations.send(successor, watch.due_at - now)
            standing = await _commit(world, stored, watch)
            if not _is_kept(watch, standing):
                log.event("overtaken", key=wake.key, seq=wake.seq)
                await world.operations.take_back(sent)
        case Finish(watch):
            standing = await _commit(world, stored, watch)
        case _:
            assert_never(action)
    if standing is not None and standing.noun.end is not None:
        await finish(world, standing)  # whoever saw the end: he may have been cut off


async def _commit(world: World, stored: Versioned[Watch], watch: Watch) -> Versioned[Watch] | None:
    """Write what follows from a poll; return what stands then.

    Where another worker was first, that is his row, with what only we have read.
    """
    to_write, version = watch, stored.version
    while True:
        committed = await world.store.watches.replace(to_write, version)
        if committed is not None:
            return committed
        standing = await world.store.watches.get(watch.key)
        news = news_for(standing.noun, stored.noun, watch) if standing else None
        if standing is None or news is None:
            return standing
        to_write, version = news, standing.version


def _is_kept(watch: Watch, standing: Versioned[Watch] | None) -> bool:
    """Tell whether `watch` was written, be it that a receiver or a stop has come on top of it.

    So it is when the write was repeated for want of an answer, and the repetition met a conflict.
    """
    if standing is None:
        return False
    return replace(standing.noun, callbacks=watch.callbacks, end=watch.end) == watch
