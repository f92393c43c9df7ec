"""What a message of either queue is: one of our own wake-ups, or something posted."""

from opswatch.core.intake import rejection
from opswatch.core.model import Reason, Rejection
from opswatch.core.wire import wake_up_from
from opswatch.ports import World
from opswatch.steps.deliver import deliver
from opswatch.steps.poll import poll
from opswatch.steps.register import register, reject


async def operations_message(world: World, body: bytes) -> None:
    """Act on a message of the queue `operations`: poll a watch, or take in what was posted."""
    wake = wake_up_from(body)
    if wake is not None:
        await poll(world, wake)
        return
    now = world.clock()
    posted = world.intake.read(body, now)
    if isinstance(posted, Rejection):
        await reject(world, posted)
    else:
        await register(world, posted, now)


async def deliveries_message(world: World, body: bytes) -> None:
    """Act on a message of the queue `deliveries`: make an attempt."""
    wake = wake_up_from(body)
    if wake is not None:
        await deliver(world, wake)
        return
    detail = "the queue 'deliveries' is opswatch's own; post to 'operations'"
    await reject(world, rejection(body, Reason.UNKNOWN_SHAPE, detail, world.clock()))
