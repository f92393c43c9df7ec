"""The repair, every minute: what a crash, an outage or the host's giving up has left behind."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from opswatch.core import lookahead
from opswatch.core.deliveries import Delivery
from opswatch.core.keys import Key
from opswatch.core.lookahead import Look
from opswatch.core.metrics import HEARTBEAT, POISON_DEPTH
from opswatch.core.mistakes import Part, problems_of
from opswatch.core.policy import CLOCK_SKEW
from opswatch.core.wakeups import OVERDUE_GRACE, WakeUp
from opswatch.core.watches import Watch
from opswatch.ports import PoisonQueue, Query, Queue, Services
from opswatch.rows.messages import QUEUES, decode_message, encode_wake_ups
from opswatch.steps import events
from opswatch.steps.look import has_far_rows
from opswatch.steps.summary import summarize
from opswatch.steps.unreadable import get_or_remove
from opswatch.steps.wakeups import (
    Chain,
    delivery_chain,
    is_dead,
    keep_looking,
    queue_lag,
    watch_chain,
)

Live = TypeVar("Live", Watch, Delivery)
_DRAIN_TIME = timedelta(seconds=15)  # of the minute between two runs
_PART_TIME = 35.0  # seconds, of each other part: they run at the same time
_MOST_RESCUED = 5000  # rows of a table in one run
# A row that has been overdue for so long may be what breaks the worker: its wake-up goes alone.
_SUSPECT_AFTER = timedelta(minutes=10)


async def repair(services: Services) -> None:
    """Drain the poison queues, restart dead look-aheads, wake overdue rows, and measure.

    A part that fails or hangs stops no other one; then the run fails, and has no heartbeat.
    """
    watches, deliveries = watch_chain(services), delivery_chain(services)
    queues = (services.operations, services.deliveries)
    sent = set[tuple[Key, int]]()  # wake-ups out of a poison queue
    drained = await _run(
        {
            f"poison of {name}": _drain(services, name, poison, queue, sent)
            for name, poison, queue in zip(QUEUES, services.poison, queues, strict=False)
        }
    )
    left_from = await _run(
        {
            "look-ahead of watches": _restart_look_ahead(services, watches),
            "look-ahead of deliveries": _restart_look_ahead(services, deliveries),
        }
    )
    now = services.clock()
    found = {n: count for n, count in zip(QUEUES, drained, strict=False) if isinstance(count, int)}
    others = await _run(
        {
            "overdue watches": _rescue(services, watches, Part.POLLS, left_from[0], sent),
            "overdue deliveries": _rescue(
                services, deliveries, Part.DELIVERIES, left_from[1], sent
            ),
            "measurements": summarize(
                services, now, late_before=now - OVERDUE_GRACE, poison_found=found
            ),
        }
    )
    done = [*drained, *left_from, *others]
    for failed in done:
        if isinstance(failed, BaseException):
            raise failed
    events.record_repaired(watches=others[0], deliveries=others[1], poisoned=sum(drained))
    services.telemetry.measure(HEARTBEAT, 1)  # last: an interrupted run has no heartbeat


async def _run(parts: dict[str, Awaitable[Any]]) -> list[Any]:
    """Run parts of the repair at the same time, each in its own time."""

    async def run(part: Awaitable[Any]) -> Any:
        async with asyncio.timeout(_PART_TIME):
            return await part

    outcomes = await asyncio.gather(*map(run, parts.values()), return_exceptions=True)
    for name, outcome in zip(parts, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            events.record_repair_part_failed(name, outcome)
    return outcomes


async def _rescue(
    services: Services,
    chain: Chain[Live],
    part: Part,
    left_from: datetime | BaseException | None,
    sent: set[tuple[Key, int]],
) -> int:
    """Send a wake-up for each overdue row, under the `seq` that it has; return how many.

    A row whose wake-up was `sent` just now needs no second one. A row whose wake-up only waits in a
    long queue is left alone, and so is one that a wrong setting stops: its wake-up is kept. A far
    row that the look-ahead has still before it, after an outage or a restart, is the look-ahead's:
    a second wake-up would call its receiver twice. `left_from` says from when, unless there is no
    look-ahead, or it could not be restarted.
    """
    if problems_of(services.mistakes, part):
        return 0
    now = services.clock()
    overdue = Query(due_before=now - OVERDUE_GRACE - await queue_lag(chain.queue, now))
    suspect_before = now - _SUSPECT_AFTER
    begins = left_from if isinstance(left_from, datetime) else now  # nothing is overdue from now on
    wakes: list[WakeUp] = []
    async for row in chain.table.find(overdue):
        live = row.value
        if (live.far and live.due_at >= begins) or (live.key, live.seq) in sent:
            continue
        wakes.append(WakeUp(key=live.key, seq=live.seq, due_at=live.due_at))
        events.record_rescued(live.key, live.seq)
        if len(wakes) == _MOST_RESCUED:
            break
    suspects = [wake for wake in wakes if wake.due_at and wake.due_at < suspect_before]
    others = [wake for wake in wakes if wake.due_at and wake.due_at >= suspect_before]
    await asyncio.gather(
        *(chain.queue.send_wake_up(wake, timedelta(0)) for wake in others),
        *(chain.queue.send(body) for wake in suspects for body in encode_wake_ups([wake])),
    )
    return len(wakes)


async def _drain(
    services: Services,
    name: str,
    poison: PoisonQueue,
    queue: Queue,
    sent: set[tuple[Key, int]],
) -> int:
    """Send what the host gave up back to its queue, until nothing is left or time is up.

    The depth is measured first: afterwards nothing would be left to report.

    The wake-ups of a batch go alone, because one of them may break the worker, and without their
    copies, which may be what does. They are added to `sent`. A single wake-up is left to its row,
    which is overdue.
    """
    services.telemetry.measure(POISON_DEPTH, await poison.depth(), queue=name)
    deadline = services.clock() + _DRAIN_TIME
    count = 0
    while services.clock() < deadline and (taken := await poison.take()):
        for poisoned in taken:
            message = decode_message(poisoned.body)
            events.record_poison_message(is_wake_up=message is not None)
            if message is None:
                await queue.send(poisoned.body)
            elif not isinstance(message, Look) and len(message) > 1:
                bare = (replace(wake, copy=None, etag=None) for wake in message)
                alone = (body for wake in bare for body in encode_wake_ups([wake]))
                sent |= {(wake.key, wake.seq) for wake in message}
                await asyncio.gather(*map(queue.send, alone))
            await poison.remove(poisoned)
            count += 1
    return count


async def _restart_look_ahead(services: Services, chain: Chain[Live]) -> datetime | None:
    """Start the look-ahead of a chain if anything waits for it and it is dead or missing.

    Returns from when on overdue far rows are left to it: from its cursor; None if there is none. A
    row that was overdue for long when the last look was due is not left to it: something keeps
    looks from that row. What a look has just woken late is left, too: it may be under way.
    """
    now, looks = services.clock(), services.store.lookahead
    row = await get_or_remove(looks, lookahead.key_of(chain.name))
    left_from = now
    if row is not None:
        state = row.value
        left_from = max(state.looked_until, min(state.due_at, now) - _SUSPECT_AFTER)
        if state.caught_up_at is not None and state.caught_up_from is not None:
            elapsed = now - state.caught_up_at
            is_done = elapsed >= OVERDUE_GRACE + await queue_lag(chain.queue, now)
            if elapsed >= -CLOCK_SKEW and not is_done:
                left_from = min(left_from, state.caught_up_from)
        if not await is_dead(chain, state, now):
            return left_from
    if not await has_far_rows(chain, None):
        if row is not None:
            await looks.delete(row.value.key, row.etag)
        return None
    services.trusted_looks.pop(chain.name, None)
    await keep_looking(services, chain)
    return left_from
