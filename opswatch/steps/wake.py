"""The wake-up of a delivery: when its next attempt is due."""

from opswatch.core.model import Delivery, WakeUp
from opswatch.ports import Sent, World


async def send_wake_up(world: World, delivery: Delivery) -> Sent:
    """Send the wake-up for the next attempt of `delivery`; may be repeated."""
    now = world.clock()
    delay = (delivery.next_attempt_at or now) - now
    wake = WakeUp(delivery.key, delivery.seq, world.telemetry.traceparent())
    return await world.deliveries.send(wake, delay)
