"""What a message of either queue asks for: wake-ups and looks of ours, or a post of a user."""

from datetime import timedelta

from opswatch.core.errors import Reason
from opswatch.core.intake import Rejection, rejection
from opswatch.core.keys import stable_random
from opswatch.core.lookahead import Look
from opswatch.core.mistakes import Part, require
from opswatch.ports import Queue, Services
from opswatch.rows.messages import decode_message
from opswatch.steps.deliver import deliver
from opswatch.steps.look import look_ahead
from opswatch.steps.poll import poll
from opswatch.steps.register import register_and_poll, reject
from opswatch.steps.wakeups import act_on_each, delivery_chain, watch_chain

_AGAIN = timedelta(seconds=30)


async def operations_message(services: Services, body: bytes) -> None:
    """Act on a message of the queue `operations`: poll watches, look ahead, or register a post.

    Raise `ConfigError`, changing nothing, if a setting that it needs is wrong.
    """
    message = decode_message(body)
    if isinstance(message, Look):
        await look_ahead(services, watch_chain(services), message)
        return
    require(services.mistakes, Part.POSTS if message is None else Part.POLLS)
    if message is not None:
        await act_on_each(services, services.operations, message, poll)
    else:
        now = services.clock()
        posted = services.intake.read(body, now)
        if isinstance(posted, Rejection):
            await _reject(services, services.operations, posted, body)
        else:
            with services.under_way():
                await register_and_poll(services, posted, now)


async def deliveries_message(services: Services, body: bytes) -> None:
    """Act on a message of the queue `deliveries`: make attempts, or look ahead."""
    message = decode_message(body)
    if isinstance(message, Look):
        await look_ahead(services, delivery_chain(services), message)
        return
    require(services.mistakes, Part.DELIVERIES)
    if message is not None:
        await act_on_each(services, services.deliveries, message, deliver)
    else:
        detail = "the queue 'deliveries' is opswatch's own; post to 'operations'"
        rejected = rejection(body, Reason.UNKNOWN_SHAPE, detail, services.clock())
        await _reject(services, services.deliveries, rejected, body)


async def _reject(services: Services, queue: Queue, rejected: Rejection, body: bytes) -> None:
    """Record a message as rejected; if many of the same body meet, they come again later."""
    if not await reject(services, rejected):
        spread = stable_random(rejected.key, services.clock().microsecond)
        await queue.send(body, _AGAIN * (1 + spread))
