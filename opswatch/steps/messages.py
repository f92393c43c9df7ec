"""What a message of either queue asks for: a wake-up of ours, or a post of a user."""

from opswatch.core.errors import Reason
from opswatch.core.intake import Rejection, rejection
from opswatch.core.mistakes import Part, require
from opswatch.ports import Services
from opswatch.steps.deliver import deliver
from opswatch.steps.poll import poll
from opswatch.steps.register import register, reject
from opswatch.steps.wakeups import read_wake_up


async def operations_message(services: Services, body: bytes) -> None:
    """Act on a message of the queue `operations`: poll a watch, or register a post.

    Raise `ConfigError`, changing nothing, if a setting that it needs is wrong.
    """
    wake = read_wake_up(body)
    require(services.mistakes, Part.POSTS if wake is None else Part.POLLS)
    if wake is not None:
        await poll(services, wake)
        return
    now = services.clock()
    posted = services.intake.read(body, now)
    if isinstance(posted, Rejection):
        await reject(services, posted)
    else:
        await register(services, posted, now)


async def deliveries_message(services: Services, body: bytes) -> None:
    """Act on a message of the queue `deliveries`: make an attempt."""
    require(services.mistakes, Part.DELIVERIES)
    wake = read_wake_up(body)
    if wake is not None:
        await deliver(services, wake)
        return
    detail = "the queue 'deliveries' is opswatch's own; post to 'operations'"
    await reject(services, rejection(body, Reason.UNKNOWN_SHAPE, detail, services.clock()))
