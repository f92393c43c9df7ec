"""One attempt of one delivery: fence, sign, send, decide, send the successor, commit."""

import logging
from datetime import datetime, timedelta
from typing import assert_never

from opswatch import log
from opswatch.core import webhook
from opswatch.core.circuit import (
    Admission,
    admission,
    away_until,
    claimed,
    failed,
    is_failure,
    is_news,
)
from opswatch.core.decide import (
    Retry,
    Settle,
    abandon,
    after_attempt,
    has_waited_enough,
    is_settled,
    postpone,
    wait_for_host,
)
from opswatch.core.model import Crowded, Delivery, Granted, Host, Result, WakeUp
from opswatch.core.wire import host_key, host_name
from opswatch.ports import Versioned, World
from opswatch.steps import tell
from opswatch.steps.gate import row_for
from opswatch.steps.wake import send_wake_up

_NO_SECRET_DELAY = timedelta(minutes=5)


async def deliver(world: World, wake: WakeUp) -> None:
    """Attempt the delivery that `wake` names, if it still stands where the wake-up says."""
    stored = await row_for(world.store.outbox, world.deliveries, wake)
    if stored is not None:
        await _work(world, stored, wake)


async def _work(world: World, stored: Versioned[Delivery], wake: WakeUp) -> None:
    """Make an attempt, if the host has room, and act on what came of it."""
    with tell.span(world, "attempt", wake.key, wake.seq, link=wake.traceparent):
        world.telemetry.note(decision="wait")  # unless an attempt is made
        await _apply(world, stored, await _attempt(world, stored.noun))


async def _attempt(world: World, delivery: Delivery) -> Retry | Settle:
    if not world.secrets:
        log.event("no_secret", logging.ERROR, key=delivery.key)
        reason = "no OPSWATCH_CALLBACK_SECRETS to sign with"
        return postpone(delivery, reason, _NO_SECRET_DELAY, world.clock())
    async with world.callbacks.turn(delivery.callback_url) as turn:
        match turn:
            case Granted():
                return await _attempt_at_host(world, delivery)
            case Crowded():
                until = away_until(turn, world.clock())
                return _wait(world, delivery, until, "busy")
            case _:
                assert_never(turn)


async def _attempt_at_host(world: World, delivery: Delivery) -> Retry | Settle:
    """Ask the host's breaker first, for what waits shall cost little; tell it afterwards."""
    now = world.clock()
    health = await world.store.hosts.get(host_key(host_name(delivery.callback_url)))
    if health is not None and not has_waited_enough(delivery, now, world.policy):
        match admission(health.noun, now):
            case Admission.WAIT:
                return _wait(world, delivery, health.noun.open_until, "paused")
            case Admission.PROBE:
                probing = claimed(health.noun, now, world.policy)
                if not await world.store.hosts.replace(probing, health.version):
                    return _wait(world, delivery, probing.open_until, "probed")
    return await _attempt_once(world, delivery, health)


async def _attempt_once(
    world: World, delivery: Delivery, health: Versioned[Host] | None
) -> Retry | Settle:
    """Make an attempt, unless a crash has come between the record of this round and us."""
    record = await world.store.deliveries.get(delivery.key)
    if record is not None and is_settled(delivery, record.noun):
        return Settle(record.noun)
    result = await world.store.results.get(delivery.operation)
    if result is None:
        return abandon(delivery, "the result has been purged")
    return await _post(world, delivery, result.noun, health)


def _wait(world: World, delivery: Delivery, until: datetime, why: str) -> Retry:
    log.event("host_waited_for", key=delivery.key, seq=delivery.seq, until=until, why=why)
    return wait_for_host(delivery, until, world.clock())


async def _post(
    world: World, delivery: Delivery, result: Result, health: Versioned[Host] | None
) -> Retry | Settle:
    at = world.clock()
    body = webhook.event(result, delivery.delivery_id)
    request = webhook.request(delivery, body, world.secrets, at, world.telemetry.traceparent())
    answer = await world.callbacks.post(request)
    now = world.clock()
    if is_failure(answer):
        await _count_failure(world, delivery, health, now)
    elif health is not None:
        await world.store.hosts.delete(host_key(health.noun.name))
    attempt = webhook.attempt_of(answer, at, (now - at).total_seconds())
    reply = webhook.read_answer(answer, now)
    action = after_attempt(delivery, attempt, reply, now, world.policy)
    tell.attempted(world, delivery, attempt, reply, action, now)
    return action


async def _count_failure(
    world: World, delivery: Delivery, before: Versioned[Host] | None, now: datetime
) -> None:
    """Tell the breaker; who comes at the same time as others counts all the same."""
    hosts, name = world.store.hosts, host_name(delivery.callback_url)
    written: Versioned[Host] | None = None
    while written is None:
        standing = await hosts.get(host_key(name))
        health = standing.noun if standing else None
        if not is_news(before.noun if before else None, health):
            return
        worse = failed(name, health, now, world.policy)
        written = await (
            hosts.replace(worse, standing.version) if standing else hosts.insert(worse)
        )
    if admission(written.noun, now) is not Admission.PASS:
        log.event("host_paused", logging.WARNING, host=name, until=written.noun.open_until)


async def _apply(world: World, stored: Versioned[Delivery], action: Retry | Settle) -> None:
    match action:
        case Retry(delivery):
            sent = await send_wake_up(world, delivery)
            if await world.store.outbox.replace(delivery, stored.version) is None:
                log.event("overtaken", key=delivery.key, seq=stored.noun.seq)
                await world.deliveries.take_back(sent)
        case Settle(delivery):
            await _settle(world, stored, delivery)


async def _settle(world: World, stored: Versioned[Delivery], delivery: Delivery) -> None:
    """Write the record, then remove what was owed."""
    await _record(world, stored.noun, delivery)
    await _remove(world, stored)
    tell.settled(world, delivery)


async def _record(world: World, owed: Delivery, delivery: Delivery) -> None:
    """Write how a round ended, unless it has ended already: its first end is its end."""
    records = world.store.deliveries
    while await records.insert(delivery) is None:
        standing = await records.get(delivery.key)
        if standing is None:
            continue
        if is_settled(owed, standing.noun):
            return
        if await records.replace(delivery, standing.version):
            return


async def _remove(world: World, stored: Versioned[Delivery]) -> None:
    """Remove what was owed; only of this round, should a replay be on."""
    owed, version = stored.noun, stored.version
    while not await world.store.outbox.delete(owed.key, version):
        standing = await world.store.outbox.get(owed.key)
        if standing is None or standing.noun.started_at != owed.started_at:
            return
        version = standing.version
