"""One attempt of one delivery: fence, sign, send, decide, send the successor, commit."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from opswatch import log
from opswatch.core import webhook
from opswatch.core.circuit import Admission, admission, claimed, failed, is_failure
from opswatch.core.decide import (
    NOT_YET_DELAY,
    Fence,
    Retry,
    Settle,
    abandon,
    after_attempt,
    fence,
    postpone,
    wait_for_host,
)
from opswatch.core.model import Delivery, Host, Result, WakeUp
from opswatch.core.wire import host_key, host_name
from opswatch.ports import Versioned, World

_NO_SECRET_DELAY = timedelta(minutes=5)
_BUSY_DELAY = timedelta(seconds=3)


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
    if not world.secrets:
        log.event("no_secret", logging.ERROR, key=delivery.key)
        reason = "no OPSWATCH_CALLBACK_SECRETS to sign with"
        return postpone(delivery, reason, _NO_SECRET_DELAY, world.clock())
    async with world.callbacks.turn(delivery.callback_url) as is_granted:
        if not is_granted:
            now = world.clock()
            return wait_for_host(delivery, now + _BUSY_DELAY, now, world.policy)
        return await _attempt_at_host(world, delivery, wake)


async def _attempt_at_host(world: World, delivery: Delivery, wake: WakeUp) -> Retry | Settle:
    """Ask the host's breaker first; tell it afterwards."""
    now = world.clock()
    name = host_name(delivery.callback_url)
    health = await world.store.hosts.get(host_key(name))
    host = health.noun if health else None
    match admission(host, now):
        case Admission.PROBE if health and not await world.store.hosts.replace(
            claimed(health.noun, now), health.version
        ):
            return wait_for_host(delivery, now + _BUSY_DELAY, now, world.policy)
        case Admission.WAIT if host:
            return wait_for_host(delivery, host.open_until, now, world.policy)
    result = await world.store.results.get(delivery.operation)
    if result is None:
        return abandon(delivery, "the result has been purged")
    return await _post(world, delivery, result.noun, wake, health)


async def _post(
    world: World,
    delivery: Delivery,
    result: Result,
    wake: WakeUp,
    health: Versioned[Host] | None,
) -> Retry | Settle:
    at = world.clock()
    body = webhook.event(result, delivery.delivery_id)
    request = webhook.request(delivery, body, world.secrets, at, wake.traceparent)
    answer = await world.callbacks.post(request)
    now = world.clock()
    if is_failure(answer):
        await _count_failure(world, delivery, now)
    elif health is not None:
        await world.store.hosts.delete(host_key(health.noun.name))
    attempt = webhook.attempt_of(answer, at, (now - at).total_seconds())
    reply = webhook.read_answer(answer, now)
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
    return after_attempt(delivery, attempt, reply, now, world.policy)


async def _count_failure(world: World, delivery: Delivery, now: datetime) -> None:
    """Tell the breaker; a count lost to somebody else's does not matter."""
    hosts, name = world.store.hosts, host_name(delivery.callback_url)
    health = await hosts.get(host_key(name))
    worse = failed(name, health.noun if health else None, now, world.policy)
    if admission(worse, now) is not Admission.PASS:
        log.event("host_paused", logging.WARNING, host=name, until=worse.open_until)
    if health is None:
        await hosts.insert(worse)
    else:
        await hosts.replace(worse, health.version)


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
