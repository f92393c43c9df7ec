"""A watch whose end is kept becomes a result and deliveries, and is removed; repeatable."""

from dataclasses import replace
from datetime import datetime

from opswatch.core.deliveries import new_delivery
from opswatch.core.watches import FinalStatus, Result, Watch, timeline_entry
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.wakeups import send_wake_up


async def finish(services: Services, row: Row[Watch]) -> Result:
    """Write the result of a watch whose end is kept, create its deliveries, and remove the watch.

    Each effect can be repeated. The removal comes last, and only of the row that was read: a
    receiver that has joined since gets its delivery first. Returns the result that is stored: the
    first end counts.
    """
    key, end = row.value.key, row.value.end
    assert end is not None, key  # noqa: S101 - an end is kept first
    result = Result(facts=row.value.facts, end=end)
    if await services.store.results.insert(result) is None:
        first = await services.store.results.get(key)
        result = first.value if first else result
    else:
        events.record_finished(services, result)
    await services.store.timeline.put(timeline_entry(result.facts, result.end))
    called: set[str] = set()
    current: Row[Watch] | None = row
    while current is not None:
        facts = current.value.facts
        since = max(result.end.finished_at, facts.registered_at)
        for url in facts.callbacks:
            if url not in called:
                await _create_delivery(services, result, url, since)
                called.add(url)
        if await services.store.watches.delete(key, current.etag):
            break
        current = await services.store.watches.get(key)
    return result


async def finish_late_registration(services: Services, row: Row[Watch], ended: Result) -> None:
    """Finish a watch that was begun when its operation already had a result."""
    await finish(services, replace(row, value=replace(row.value, end=ended.end)))


async def _create_delivery(
    services: Services, result: Result, callback_url: str, since: datetime
) -> None:
    """Create the delivery of `result` to `callback_url`, unless it exists or has settled.

    The row is inserted, then the record is looked for: a delivery that settles in between has
    written its record before it left the outbox, so it never begins twice.
    """
    if result.end.status is FinalStatus.STOPPED:
        return  # by a user, who wants no callback
    outbox = services.store.outbox
    delivery = new_delivery(result.key, callback_url, since, services.policy)
    row = await outbox.insert(delivery) or await outbox.get(delivery.key)
    if row is None or row.value.seq != delivery.seq:
        return  # settled, or under way
    if await services.store.deliveries.get(delivery.key) is not None:
        await outbox.delete(delivery.key, row.etag)
        return
    # Sent even if the row was there already: a worker may have crashed before it sent this.
    now = services.clock()
    delay = (row.value.next_attempt_at or now) - now
    traceparent = services.telemetry.traceparent()
    await send_wake_up(services.deliveries, delivery.key, row.value.seq, traceparent, delay)
