"""What users ask for: to stop a watch, or to deliver a result again."""

from datetime import datetime
from enum import Enum, auto

from opswatch.core import watches
from opswatch.core.deliveries import Delivery, DeliveryState, is_settled, requeue
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from opswatch.ports import Query, Services
from opswatch.steps import events
from opswatch.steps.finish import finish, keep_result
from opswatch.steps.wakeups import delivery_chain, start_waiting


class StopOutcome(Enum):
    """The outcome of a request to stop a watch."""

    STOPPED = auto()
    ENDED_BEFORE = auto()
    UNKNOWN = auto()


async def stop(services: Services, key: Key) -> StopOutcome:
    """End the watch `key` with the result `Stopped` and no callback; the operation goes on."""
    while True:
        row = await services.store.watches.get(key)
        if row is None or row.value.end is not None:
            ended = row is not None or await services.store.results.get(key) is not None
            return StopOutcome.ENDED_BEFORE if ended else StopOutcome.UNKNOWN
        stopped = watches.stop(row.value, services.clock())
        kept = await services.store.watches.replace(stopped, row.etag)
        if kept is not None:
            result = await finish(services, kept)
            is_ours = result.end.status is FinalStatus.STOPPED
            return StopOutcome.STOPPED if is_ours else StopOutcome.ENDED_BEFORE


async def redeliver(services: Services, operation: Key) -> int:
    """Deliver the result of `operation` again to every receiver whose delivery has settled.

    Returns how many deliveries were queued. A pending delivery is left alone, and so is that of an
    earlier round, whose result has been replaced.
    """
    now = services.clock()
    count = 0
    query = Query(partition=operation.partition, row_prefix=f"{operation.row}~")
    async for settled in services.store.deliveries.find(query):
        if settled.value.operation == operation:
            count += await _requeue(services, settled.value, now)
    return count


async def redeliver_abandoned(services: Services, since: datetime) -> int:
    """Queue every abandoned delivery again whose last attempt was at `since` or later.

    Returns how many. Reads the whole archive of deliveries: for a person after an outage, not for
    a timer or a page.
    """
    now = services.clock()
    count = 0
    async for settled in services.store.deliveries.find(Query()):
        last = settled.value.last_attempt_at or settled.value.started_at
        if settled.value.state is DeliveryState.ABANDONED and last >= since:
            count += await _requeue(services, settled.value, now)
    return count


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
        await outbox.delete(pending.key, row.etag)
    if row.value.round_attempts:
        return False
    await keep_result(services, result.value)
    await start_waiting(services, delivery_chain(services), row.value)
    events.record_requeued(row.value)
    return True
