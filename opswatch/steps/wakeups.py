"""Wake-ups of both chains: reading and sending them, and finding the row that one is for."""

from datetime import timedelta
from typing import TypeVar

from opswatch.core.deliveries import Delivery
from opswatch.core.keys import Key, WakeUp
from opswatch.core.policy import MAX_DELAY
from opswatch.core.watches import Watch
from opswatch.ports import Queue, Row, Sent, Services, Table
from opswatch.rows.messages import WakeUpFields, WakeUpMessage, decode_wake_up, encode_wake_up
from opswatch.steps import events

Live = TypeVar("Live", Watch, Delivery)
EARLY_DELAY = timedelta(seconds=5)  # until a message whose row is not committed yet is tried again


def read_wake_up(body: bytes) -> WakeUp | None:
    """Return the wake-up in a message, or None if it is anything else."""
    try:
        wake = decode_wake_up(body).wake
    except (ValueError, RecursionError):
        return None
    return WakeUp(Key(wake.partition, wake.row), wake.seq, wake.traceparent)


async def send_wake_up(
    queue: Queue, key: Key, seq: int, traceparent: str | None, delay: timedelta = timedelta(0)
) -> Sent:
    """Send the message that makes a worker act on the row `key` at `seq`, after `delay`."""
    fields = WakeUpFields(key.partition, key.row, seq, traceparent)
    # A due time that was not made by `due_after` may be later than a queue accepts.
    return await queue.send(encode_wake_up(WakeUpMessage(fields)), min(delay, MAX_DELAY))


async def send_delivery_wake_up(services: Services, delivery: Delivery) -> Sent:
    """Send the message that makes a worker attempt `delivery` when it is due."""
    now, traceparent = services.clock(), services.telemetry.traceparent()
    delay = (delivery.next_attempt_at or now) - now
    return await send_wake_up(services.deliveries, delivery.key, delivery.seq, traceparent, delay)


async def load_current_row(table: Table[Live], queue: Queue, wake: WakeUp) -> Row[Live] | None:
    """Return the row that `wake` is for; None if there is nothing to do, or not yet.

    An older `seq` than the row's is a duplicate. A newer one is early: the row's commit is under
    way, or was lost in a crash; the message is sent again.
    """
    row = await table.get(wake.key)
    if row is None:
        events.record_stale_wakeup(wake, "ended")
        return None
    if wake.seq == row.value.seq:
        return row
    if wake.seq < row.value.seq:
        events.record_stale_wakeup(wake, "stale")
    else:
        events.record_early_wakeup(wake, row.value.seq)
        await send_wake_up(queue, wake.key, wake.seq, wake.traceparent, EARLY_DELAY)
    return None
