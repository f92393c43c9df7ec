"""Wake-ups of both chains: acting on a batch, finding rows, and what a wait needs to end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from opswatch.core import lookahead
from opswatch.core.deliveries import Delivery
from opswatch.core.lookahead import Look, LookAhead
from opswatch.core.policy import MAX_DELAY
from opswatch.core.wakeups import Fence, WakeUp, compare, is_given_up, retry_delay
from opswatch.core.watches import Watch
from opswatch.ports import Queue, Row, Services, Table
from opswatch.rows import tables
from opswatch.rows.messages import decode_message, encode_look
from opswatch.steps import events
from opswatch.steps.unreadable import get_or_remove

Live = TypeVar("Live", Watch, Delivery)
_NOW = timedelta(0)


@dataclass(frozen=True, slots=True)
class Chain(Generic[Live]):
    """One of the two chains: its live table, and the queue of its wake-ups."""

    name: str  # of the table
    table: Table[Live]
    queue: Queue


def watch_chain(services: Services) -> Chain[Watch]:
    """Return the chain of watches."""
    return Chain(tables.WATCHES.table, services.store.watches, services.operations)


def delivery_chain(services: Services) -> Chain[Delivery]:
    """Return the chain of deliveries."""
    return Chain(tables.OUTBOX.table, services.store.outbox, services.deliveries)


async def act_on_each(
    services: Services,
    queue: Queue,
    wakes: Sequence[WakeUp],
    act: Callable[[Services, WakeUp], Awaitable[None]],
) -> None:
    """Act on the wake-ups of a message, at the same time.

    If one fails, it goes on alone, in a separate message; in the end it is left to the repair. The
    message fails only if that message cannot be sent.
    """

    async def act_on(wake: WakeUp) -> None:
        with services.under_way():
            try:
                await act(services, wake)
            except Exception as error:
                delay = retry_delay(wake, services.clock())
                events.record_wake_up_failed(wake, error, delay)
                if delay is not None:
                    await _send_again(queue, wake, delay)

    outcomes = await asyncio.gather(*map(act_on, wakes), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def load_current_row(
    services: Services, chain: Chain[Live], wake: WakeUp, known: Row[Live] | None = None
) -> Row[Live] | None:
    """Return the row that `wake` is for; None if there is nothing to do, or not yet.

    `known` is the row as far as the wake-up or this process knows it: it is read if that is of
    another `seq`. A wake-up that is early is sent again.
    """
    if known is not None and compare(wake, known.value.seq, known.value.due_at) is Fence.CURRENT:
        return known
    row = await chain.table.get(wake.key)
    if row is None:
        events.record_dropped_wake_up(services, wake, "ended")
        return None
    match compare(wake, row.value.seq, row.value.due_at):
        case Fence.CURRENT:
            return row
        case Fence.STALE:
            events.record_dropped_wake_up(services, wake, "stale")
        case Fence.EARLY:
            delay = retry_delay(wake, services.clock())
            if delay is None:
                events.record_dropped_wake_up(services, wake, "early")
            else:
                events.record_early_wake_up(wake, row.value.seq)
                await _send_again(chain.queue, wake, delay)
    return None


async def _send_again(queue: Queue, wake: WakeUp, delay: timedelta) -> None:
    """Send a wake-up that could not be acted on again, without its copy: the row will be read."""
    await queue.send_wake_up(replace(wake, copy=None, etag=None), delay)


async def send_wake_up(services: Services, chain: Chain[Live], live: Live) -> None:
    """Send the message that makes a worker act on a row when it is due."""
    wake = WakeUp(
        key=live.key,
        seq=live.seq,
        due_at=live.due_at,
        traceparent=services.telemetry.traceparent(),
    )
    # A row that a clock far ahead has written may be due later than a queue accepts.
    delay = min(max(live.due_at - services.clock(), _NOW), MAX_DELAY)
    await chain.queue.send_wake_up(wake, delay)


async def before_commit(services: Services, chain: Chain[Live], live: Live) -> None:
    """See to it that a wait ends, before its row is committed.

    A crash before the commit leaves the row's own wake-up, which comes again. What was done here is
    harmless: a wake-up that is early, or a look-ahead that finds nothing.
    """
    if live.far:
        await keep_looking(services, chain)
    else:
        await send_wake_up(services, chain, live)


async def after_commit(services: Services, chain: Chain[Live], live: Live) -> None:
    """Make up for a commit that was so slow that what ends the wait may be over.

    The look-ahead may have found nothing to wait for, and ended, or a look may have passed the row;
    the message of a near wait may have been given up. The row's wake-up is sent a second time if
    that fails: the one that led here is stale by now, and cannot make up for it.
    """
    is_over = lookahead.is_covered if live.far else is_given_up
    if is_over(live.due_at, services.clock()):
        try:
            await send_wake_up(services, chain, live)
        except Exception:
            await send_wake_up(services, chain, live)
    if live.far:  # last: it may fail, and from now on each look finds the row
        await keep_looking(services, chain)


async def start_waiting(services: Services, chain: Chain[Live], live: Live) -> None:
    """See to it that a row that was just inserted, near or far, gets its first wake-up."""
    await before_commit(services, chain, live)
    if live.far:  # the message of a near one was sent just now
        await after_commit(services, chain, live)


async def keep_looking(services: Services, chain: Chain[Live]) -> None:
    """Start the look-ahead of a chain, unless it is known to run.

    Its message is sent last, and only by the worker that has written its row: in an outage no
    worker starts a second one. After a crash in between it is dead until another worker checks.
    """
    looks, name, now = services.store.lookahead, chain.name, services.clock()
    trusted_until = services.trusted_looks.get(name)
    while trusted_until is None or now >= trusted_until:
        row = await get_or_remove(looks, lookahead.key_of(name))
        if row is None:
            begun = lookahead.begin(name, now)
            if (written := await looks.insert(begun)) is not None:
                await chain.queue.send(encode_look(begun.next_look))
        elif await is_dead(chain, row.value, now):
            restarted = lookahead.restart(row.value, now)
            if (written := await looks.replace(restarted, row.etag)) is not None:
                events.record_look_ahead_restarted(name, now - row.value.due_at)
                await chain.queue.send(encode_look(restarted.next_look))
        elif row.value.empty_looks:
            written = await looks.replace(replace(row.value, empty_looks=0), row.etag)
        else:
            written = row
        if written is not None:
            services.trusted_looks[name] = trusted_until = lookahead.trusted_until(now)


async def is_dead(chain: Chain[Live], state: LookAhead, now: datetime) -> bool:
    """Return whether no look of a chain will come: its message does not wait in a long queue."""
    is_late = lookahead.is_dead(state, now)
    return is_late and lookahead.is_dead(state, now, await queue_lag(chain.queue, now))


async def queue_lag(queue: Queue, now: datetime) -> timedelta:
    """Return for how long the next message of a queue has been waiting to be received."""
    head = await queue.peek()
    if head is None:
        return timedelta(0)
    message = decode_message(head.body)
    due = [message] if isinstance(message, Look) else message or ()
    since = min((item.due_at for item in due if item.due_at), default=head.sent_at)
    return max(now - max(since, head.sent_at), timedelta(0))
