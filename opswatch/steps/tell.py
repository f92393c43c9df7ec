"""Telling what happened: a log line, the metrics, and facts of the span, in one place an event."""

import logging
from contextlib import AbstractContextManager
from datetime import datetime

from opswatch import log
from opswatch.core.decide import Action, Retry, Settle
from opswatch.core.metrics import ATTEMPTS, LAG, MISSES, POLLS, REJECTIONS, SETTLED
from opswatch.core.model import (
    Attempt,
    Delivery,
    HttpResponse,
    Key,
    Missed,
    NoAnswer,
    Observation,
    Rejection,
    Result,
    Watch,
)
from opswatch.core.redact import redact_text
from opswatch.core.webhook import Reply
from opswatch.ports import World


def span(
    world: World, name: str, key: Key, seq: int, link: str | None = None
) -> AbstractContextManager[None]:
    """Run the block in a span of its own, linked to where its wake-up was sent."""
    return world.telemetry.span(f"opswatch.{name}", link, key=f"{key.partition}/{key.row}", seq=seq)


def polled(
    world: World,
    watch: Watch,
    answer: HttpResponse | NoAnswer,
    seen: Observation,
    action: Action,
) -> None:
    """Tell of one poll: what came back, and what follows."""
    came = _came(answer)
    missed = redact_text(seen.reason) if isinstance(seen, Missed) else None
    decision, after = type(action).__name__.lower(), action.watch
    delay = after.due_at - (after.last_polled_at or after.due_at)
    log.event(
        "poll",
        key=watch.key,
        seq=watch.seq,
        status=after.status,
        miss=missed,
        decision=decision,
        delay=delay if after.end is None else None,
        end=after.end and after.end.status.value,
        **came,
    )
    world.telemetry.note(decision=decision, **came)
    world.telemetry.measure(POLLS, 1, decision=decision)
    if missed is not None:
        world.telemetry.measure(MISSES, 1, **came)


def finished(world: World, result: Result) -> None:
    """Tell that a result stands, and how long after the operation's end it was seen."""
    end = result.end
    log.event(
        "finished",
        key=result.operation.key,
        status=end.status.value,
        polls=result.polls,
        error=end.error.code if end.error else None,
    )
    if end.end_time is not None:
        lag = (end.finished_at - end.end_time).total_seconds()
        world.telemetry.measure(LAG, max(0.0, lag))  # clocks differ


def attempted(
    world: World,
    delivery: Delivery,
    attempt: Attempt,
    reply: Reply,
    action: Retry | Settle,
    now: datetime,
) -> None:
    """Tell of one attempt: what came back, and what follows."""
    came = _answered(attempt)
    next_attempt_at = action.delivery.next_attempt_at
    decision = type(action).__name__.lower()
    log.event(
        "attempt",
        key=delivery.key,
        seq=delivery.seq,
        attempt=delivery.attempts + 1,
        reply=type(reply).__name__.lower(),
        decision=decision,
        delay=next_attempt_at and next_attempt_at - now,
        seconds=attempt.duration,
        **came,
    )
    world.telemetry.note(decision=decision, **came)
    world.telemetry.measure(ATTEMPTS, 1, **came)


def settled(world: World, delivery: Delivery) -> None:
    """Tell how a delivery ended; a metric's reason is only the kind of it."""
    state, reason = delivery.state.value, delivery.reason
    log.event("settled", key=delivery.key, state=state, reason=reason and redact_text(reason))
    why = {"reason": reason.partition(":")[0]} if reason else {}
    world.telemetry.measure(SETTLED, 1, state=state, **why)


def rejected(world: World, rejection: Rejection) -> None:
    """Tell of a message that was not accepted."""
    reason = rejection.reason.value
    log.event("rejected", logging.WARNING, reason=reason, body=rejection.body_sha256)
    world.telemetry.measure(REJECTIONS, 1, reason=reason)


def _came(answer: HttpResponse | NoAnswer) -> dict[str, str]:
    """Return the status code of an answer, or the layer that failed to bring one."""
    match answer:
        case HttpResponse(status_code):
            return {"status_code": str(status_code)}
        case NoAnswer(layer):
            return {"layer": layer}


def _answered(attempt: Attempt) -> dict[str, str]:
    if attempt.status_code is not None:
        return {"status_code": str(attempt.status_code)}
    return {"layer": attempt.layer} if attempt.layer else {}
