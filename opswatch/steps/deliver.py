"""One attempt of one delivery: fence, sign, send, decide, send the successor, commit."""

import logging
from dataclasses import replace
from datetime import timedelta

from opswatch import log
from opswatch.core import webhook
from opswatch.core.decide import (
    NOT_YET_DELAY,
    Fence,
    Retry,
    Settle,
    abandon,
    after_attempt,
    fence,
    postpone,
)
from opswatch.core.model import Delivery, Result, WakeUp
from opswatch.ports import Versioned, World

_NO_SECRET_DELAY = timedelta(minutes=5)


async def deliver(world: World, wake: WakeUp) -> None:
    """Attempt the delivery that `wake` names, if it still stands where the wake-up says."""
    stored = await world.store.outbox.get(wake.key)
    if stored is None:
        log.event("dropped", key=wake.key, seq=wake.seq, why="settled")
        return
    match fence(wake.seq, stored.noun.seq):
        case Fence.DROP:
            log.event("dropped", key=wake.key, seq=wake.seq, why="stale")
        case Fence.NOT_YET:
            log.event("not_yet", key=wake.key, seq=wake.seq, row_seq=stored.noun.seq)
            await world.deliveries.send(wake, NOT_YET_DELAY)
        case Fence.WORK:
            await _apply(world, stored, wake, await _attempt(world, stored.noun, wake))


async def _attempt(world: World, delivery: Delivery, wake: WakeUp) -> Retry | Settle:
    now = world.clock()
    result = await world.store.results.get(delivery.operation)
    if result is None:
        return abandon(delivery, "the result has been purged")
    if not world.secrets:
        log.event("no_secret", logging.ERROR, key=delivery.key)
        return postpone(
            delivery, "no OPSWATCH_CALLBACK_SECRETS to sign with", _NO_SECRET_DELAY, now
        )
    return await _post(world, delivery, result.noun, wake)


async def _post(world: World, delivery: Delivery, result: Result, wake: WakeUp) -> Retry | Settle:
    at = world.clock()
    body = webhook.event(result, delivery.delivery_id)
    request = webhook.request(delivery, body, world.secrets, at, wake.traceparent)
    answer = await world.callbacks.post(request)
    now = world.clock()
    attempt = webhook.attempt_of(answer, at, (now - at).total_seconds())
    reply = webhook.read_answer(answer, now)
    action = after_attempt(delivery, attempt, reply, now, world.policy)
    log.event(
        "attempt",
        key=delivery.key,
        seq=delivery.seq,
        attempt=delivery.attempts + 1,
        status_code=attempt.status_code,
        layer=attempt.layer,
        seconds=attempt.duration,
        reply=type(reply).__name__.lower(),
    )
    return action


async def _apply(
    world: World, stored: Versioned[Delivery], wake: WakeUp, action: Retry | Settle
) -> None:
    match action:
        case Retry(delivery):
            delay = (delivery.next_attempt_at or world.clock()) - world.clock()
            sent = await world.deliveries.send(replace(wake, seq=delivery.seq), delay)
            if await world.store.outbox.replace(delivery, stored.version) is None:
                log.event("overtaken", key=delivery.key, seq=stored.noun.seq)
                await world.deliveries.take_back(sent)
        case Settle(delivery):
            await _settle(world, stored, delivery)


async def _settle(world: World, stored: Versioned[Delivery], delivery: Delivery) -> None:
    """Write the record, then remove what was owed; only of this round, should a replay be on."""
    await world.store.deliveries.put(delivery)
    version: str | None = stored.version
    while version and not await world.store.outbox.delete(delivery.key, version):
        standing = await world.store.outbox.get(delivery.key)
        is_ours = standing is not None and standing.noun.started_at == delivery.started_at
        version = standing.version if standing is not None and is_ours else None
    log.event("settled", key=delivery.key, state=delivery.state.value, reason=delivery.reason)
