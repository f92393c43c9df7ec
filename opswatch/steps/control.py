"""What users ask for: to stop a watch, or to deliver a result again."""

import asyncio
from datetime import datetime
from enum import Enum, auto

from opswatch.core import watches
from opswatch.core.deliveries import (
    Delivery,
    DeliveryState,
    attempt_at,
    is_settled,
    requeue,
    start_after,
)
from opswatch.core.keys import Key
from opswatch.core.timeline import SettledEntry, settled_entry
from opswatch.core.watches import FinalStatus, Watch
from opswatch.lists import DeliveryFilter, list_deliveries
from opswatch.ports import Row, Services
from opswatch.queries import get_deliveries
from opswatch.rows.codec import UnreadableRowError
from opswatch.steps import events
from opswatch.steps.finish import finish, keep_result
from opswatch.steps.wakeups import after_commit, before_commit, delivery_chain, start_waiting

MOST_REDELIVERED = 1000  # in one call: a request has its time limit
_AT_ONCE = 32  # of them: each takes several requests to the storage


class StopOutcome(Enum):
    """The outcome of a request to stop a watch."""

    STOPPED = auto()
    ENDED_BEFORE = auto()
    UNKNOWN = auto()


async def stop(services: Services, key: Key) -> StopOutcome:
    """End the watch `key` with the result `Stopped` and no callback; the operation goes on.

    A stop that was interrupted after its end was written is finished.
    """
    while True:
        row = await services.store.watches.get(key)
        if row is None:
            is_known = await services.store.results.get(key) is not None
            return StopOutcome.ENDED_BEFORE if is_known else StopOutcome.UNKNOWN
        end = row.value.end
        kept: Row[Watch] | None = row
        if end is None:
            stopped = watches.stop(row.value, services.clock())
            kept = await services.store.watches.replace(stopped, row.etag)
        elif end.status is not FinalStatus.STOPPED:
            return StopOutcome.ENDED_BEFORE
        if kept is not None:
            result = await finish(services, kept)
            is_ours = result.end.status is FinalStatus.STOPPED
            return StopOutcome.STOPPED if is_ours else StopOutcome.ENDED_BEFORE


async def redeliver_due(
    services: Services, operation: Key, delivery_id: str | None = None
) -> list[Delivery]:
    """Send the deliveries of `operation` that have not arrived, or the one with `delivery_id`.

    An abandoned delivery begins its schedule again, and a pending one is attempted now. What was
    delivered is sent again only if it is named. Returns the deliveries that are sent.
    """
    now = services.clock()
    sent: list[Delivery] = []
    failure: UnreadableRowError | None = None
    for delivery in await get_deliveries(services.store, operation):
        if delivery_id not in (None, delivery.delivery_id):
            continue
        is_delivered = delivery.state is DeliveryState.DELIVERED
        try:
            if delivery.state is DeliveryState.PENDING:
                is_sent = await _attempt_now(services, delivery.key, now)
            else:
                is_wanted = delivery_id is not None or not is_delivered
                is_sent = is_wanted and await _requeue(services, delivery, now)
            if is_sent:
                row = await services.store.outbox.get(delivery.key)
                sent.append(row.value if row else delivery)
        except UnreadableRowError as error:
            failure = error  # the other ones are sent
    if failure is not None:
        raise failure
    return sent


async def redeliver_all(
    services: Services, wanted: DeliveryFilter, *, dry_run: bool = False
) -> tuple[int, bool]:
    """Queue the settled deliveries that `wanted` selects again, or only count them.

    Returns how many, and whether there are more: one call handles `MOST_REDELIVERED`. Those that
    are queued leave the index, so that the next call goes on with the others.
    """
    now = services.clock()
    count, continuation = 0, None
    while True:
        page = await list_deliveries(services.store, wanted, MOST_REDELIVERED, continuation)
        left = [entry for entry in page.values if isinstance(entry, SettledEntry)]
        while left:
            room = min(_AT_ONCE, MOST_REDELIVERED - count)
            if room == 0:
                return count, True
            together, left = left[:room], left[room:]
            if dry_run:
                count += len(together)
                continue
            requeued = (_requeue_entry(services, entry, now) for entry in together)
            outcomes = await asyncio.gather(*requeued, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                count += outcome
        continuation = page.continuation
        if continuation is None:
            return count, False


async def _requeue_entry(services: Services, entry: SettledEntry, now: datetime) -> bool:
    """Begin a new round of the delivery that the index names, if its record is still the one.

    A row that cannot be decoded was reported, and stops no other replay.
    """
    try:
        record = await services.store.deliveries.get(entry.record)
        if record is None or settled_entry(record.value).key != entry.key:
            return False  # purged, or replaced by a later round
        return await _requeue(services, record.value, now)
    except UnreadableRowError:
        return False


async def _attempt_now(services: Services, key: Key, now: datetime) -> bool:
    """Make a pending delivery due; return False if it has settled before that.

    The wake-up is sent first, then the row moves: an interruption leaves an early wake-up.
    """
    outbox, chain = services.store.outbox, delivery_chain(services)
    while (row := await outbox.get(key)) is not None:
        due = attempt_at(row.value, now)
        await before_commit(services, chain, due)
        if await outbox.replace(due, row.etag) is not None:
            await after_commit(services, chain, due)
            return True
    return False


async def _requeue(services: Services, settled: Delivery, now: datetime) -> bool:
    """Begin a new round of a settled delivery; return False if one is under way.

    Its result must be there still: not purged, and not replaced by that of a later round.
    The outbox may have a row of an earlier round that a worker has not removed yet: remove it. It
    may have a row of a new round without an attempt: a crash may have come before its message.
    """
    result = await services.store.results.get(settled.operation)
    if result is None or result.value.facts.round != settled.round:
        return False
    outbox = services.store.outbox
    pending = requeue(settled, now, services.policy)
    while True:
        row = await outbox.insert(pending) or await outbox.get(pending.key)
        if row is None:
            continue
        if not is_settled(row.value, settled):
            break
        pending = start_after(pending, row.value)
        await outbox.delete(pending.key, row.etag)
    if row.value.round_attempts:
        return False
    await services.store.settled.delete(settled_entry(settled).key)
    await keep_result(services, result.value)
    await start_waiting(services, delivery_chain(services), row.value)
    events.record_requeued(row.value)
    return True
