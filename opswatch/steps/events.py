"""Everything that steps report: log lines, metrics and spans, one function for each event.

A log line has a stable name, then facts as fields, in its text and on its record. A text is
redacted and on one line, and quoted if it is more than a word: what ARM or a user wrote can add no
field and no line.
"""

import json
import logging
import re
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

from opswatch.core.deliveries import Delivery, Retry, Settle
from opswatch.core.errors import ConfigError
from opswatch.core.hosts import HostCircuit
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key
from opswatch.core.metrics import (
    ATTEMPTS,
    DROPPED_WAKE_UPS,
    LAG,
    MISSES,
    POLLS,
    REJECTIONS,
    SETTLED,
    UNREADABLE_ROWS,
)
from opswatch.core.mistakes import Mistake
from opswatch.core.observations import Missed, Observation
from opswatch.core.polls import Action, shows_change
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line
from opswatch.core.times import format_instant
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, Watch
from opswatch.core.webhook import Attempt, Reply
from opswatch.ports import Services, Telemetry

_logger = logging.getLogger("opswatch")
_PLAIN = re.compile(r"[\w.,:;/~+@%*$!()-]+", re.ASCII)
_MAX_FACT = 1024  # UTF-16 units


def _log(name: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Log `name` and its fields; a field that is None is left out."""
    if not _logger.isEnabledFor(level):
        return
    facts: dict[str, object] = {}
    for field, value in fields.items():
        match value:
            case None:
                continue
            case Enum():
                facts[field] = value.name.lower()
            case str():
                facts[field] = one_line(redact_text(value), _MAX_FACT)
            case int() | float():
                facts[field] = value
            case datetime():
                facts[field] = format_instant(value)
            case timedelta():
                facts[field] = value.total_seconds()
            case _:  # a key, which is what other rows and lines have
                facts[field] = str(value)
    text = " ".join([f"opswatch.{name}", *(f"{k}={_quoted(v)}" for k, v in facts.items())])
    _logger.log(level, "%s", text, extra={"event": f"opswatch.{name}", **facts})


def _quoted(value: object) -> str:
    """Return a value as a log line has it: a text that is not a plain word, as a JSON string.

    So no text adds a field or a line: JSON escapes quotes, and `json.dumps` all but ASCII.
    """
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def span(
    services: Services, name: str, key: Key, seq: int, link: str | None = None
) -> AbstractContextManager[None]:
    """Run the block in a new span, linked to the span that sent its wake-up."""
    return services.telemetry.span(
        f"opswatch.{name}", link, key=f"{key.partition}/{key.row}", seq=seq
    )


# --- posts


def record_registered(watch: Watch) -> None:
    """Record that an operation is watched from now on."""
    _log("registered", key=watch.key, kind=watch.facts.kind)


def record_rejected(services: Services, rejection: Rejection) -> None:
    """Record a message that was not accepted."""
    reason = rejection.reason.value
    _log("rejected", logging.WARNING, reason=reason, body=rejection.body_sha256)
    services.telemetry.measure(REJECTIONS, 1, reason=reason)


# --- wake-ups


def record_dropped_wake_up(
    services: Services, wake: WakeUp, why: Literal["ended", "stale", "early"]
) -> None:
    """Record a wake-up that has no effect: its row has ended or moved on, or never came.

    Counted, and logged only for debugging: every poster can send any number of them.
    """
    _log("dropped_wake_up", logging.DEBUG, key=wake.key, seq=wake.seq, why=why)
    services.telemetry.measure(DROPPED_WAKE_UPS, 1, why=why)


def record_early_wake_up(wake: WakeUp, row_seq: int) -> None:
    """Record a wake-up whose row is not committed yet."""
    _log("early_wake_up", logging.DEBUG, key=wake.key, seq=wake.seq, row_seq=row_seq)


def record_wake_up_failed(wake: WakeUp, error: Exception, delay: timedelta | None) -> None:
    """Record a wake-up that could not be acted on; without a delay it is left to the repair."""
    text = f"{type(error).__name__}: {error}"
    _log("wake_up_failed", logging.WARNING, key=wake.key, seq=wake.seq, error=text, delay=delay)


def record_conflict(key: Key, seq: int) -> None:
    """Record that another worker committed the row first."""
    _log("conflict", key=key, seq=seq)


def record_mistake(mistake: Mistake) -> None:
    """Record a wrong setting with which the app has started."""
    stops = ",".join(sorted(mistake.stops)) or None
    _log("setting_wrong", logging.ERROR, error=mistake.text, stops=stops)


def record_kept(queue: str, count: int, delay: float, error: Exception) -> None:
    """Record that messages could not be handled, and were sent again with a delay."""
    level, why = logging.WARNING, f"{type(error).__name__}: {error}"
    if isinstance(error, ConfigError):
        level, why = logging.ERROR, "; ".join(error.problems)
    _log("message_kept", level, queue=queue, count=count, delay=delay, error=why)


# --- watches


def record_poll(
    services: Services,
    watch: Watch,
    answer: HttpResponse | NoAnswer,
    seen: Observation,
    action: Action,
) -> None:
    """Record one poll: what ARM answered, and what follows.

    If its span is not kept, it has a line only if it shows a change: most polls of a long operation
    show that it runs, and their lines would cost more than the polls.
    """
    answered: dict[str, str] = (
        {"status_code": str(answer.status_code)}
        if isinstance(answer, HttpResponse)
        else {"layer": answer.layer}
    )
    miss = seen.reason if isinstance(seen, Missed) else None
    decision, after = type(action).__name__.lower(), action.watch
    delay = after.due_at - (after.facts.last_polled_at or after.due_at)
    if services.telemetry.is_sampled() or shows_change(watch, after):
        _log(
            "poll",
            key=watch.key,
            seq=watch.seq,
            status=after.facts.status,
            miss=miss,
            decision=decision,
            delay=delay if after.end is None else None,
            end=after.end and after.end.status.value,
            **answered,
        )
    services.telemetry.note(decision=decision, **answered)
    services.telemetry.measure(POLLS, 1, decision=decision)
    if miss is not None:
        services.telemetry.measure(MISSES, 1, **answered)


def record_poll_deferred(services: Services, watch: Watch, until: datetime) -> None:
    """Record a poll that is postponed, for ARM's budget of reads; if its span is kept."""
    services.telemetry.note(decision="wait")
    if services.telemetry.is_sampled():
        _log("poll_deferred", key=watch.key, seq=watch.seq, until=until)


def record_slow(watch: Watch, now: datetime) -> None:
    """Record that an operation runs longer than 99 of 100 of its kind."""
    age = now - watch.facts.began_at(now)
    _log("slow", logging.WARNING, key=watch.key, kind=watch.facts.kind, age=age)


def record_durations_failed(error: Exception) -> None:
    """Record that learned durations cannot be read or written; polls go on without them."""
    _log("durations_failed", logging.WARNING, error=redact_text(one_line(str(error))))


def record_counts_failed(error: Exception) -> None:
    """Record that counts by the hour cannot be written; they are kept for the next time."""
    _log("counts_failed", logging.WARNING, error=redact_text(one_line(str(error))))


def record_finished(services: Services, result: Result) -> None:
    """Record a new result, and the lag between the operation's end and our seeing it."""
    end = result.end
    _log(
        "finished",
        key=result.key,
        status=end.status.value,
        polls=result.facts.polls,
        error=end.error.code if end.error else None,
    )
    if end.end_time is not None:
        lag = (end.finished_at - end.end_time).total_seconds()
        services.telemetry.measure(LAG, max(0.0, lag))  # clocks differ


# --- deliveries


def record_attempt(
    services: Services,
    delivery: Delivery,
    attempt: Attempt,
    reply: Reply,
    action: Retry | Settle,
) -> None:
    """Record one attempt: what the receiver answered, and what follows."""
    answered: dict[str, str] = {}
    if attempt.status_code is not None:
        answered = {"status_code": str(attempt.status_code)}
    elif attempt.layer:
        answered = {"layer": attempt.layer}
    next_attempt_at = action.delivery.next_attempt_at
    decision = type(action).__name__.lower()
    ended_at = attempt.at + timedelta(seconds=attempt.duration)
    _log(
        "attempt",
        key=delivery.key,
        seq=delivery.seq,
        attempt=delivery.attempts + 1,
        reply=type(reply).__name__.lower(),
        decision=decision,
        delay=next_attempt_at and next_attempt_at - ended_at,
        seconds=attempt.duration,
        **answered,
    )
    services.telemetry.note(decision=decision, **answered)
    services.telemetry.measure(ATTEMPTS, 1, **answered)


def record_settled(services: Services, delivery: Delivery) -> None:
    """Record how a delivery ended; a metric's reason is the part before the colon."""
    state, reason = delivery.state.value, delivery.reason
    _log("settled", key=delivery.key, state=state, reason=reason)
    why = {"reason": reason.partition(":")[0]} if reason else {}
    services.telemetry.measure(SETTLED, 1, state=state, **why)


def record_deferred(
    services: Services,
    delivery: Delivery,
    until: datetime,
    why: Literal["busy", "paused", "probed"],
) -> None:
    """Record a delivery that waits for its host, if its span is kept; no attempt was made."""
    if services.telemetry.is_sampled():
        _log("delivery_deferred", key=delivery.key, seq=delivery.seq, until=until, why=why)


def record_circuit_opened(circuit: HostCircuit) -> None:
    """Record that a host is paused after failures in a row."""
    _log("circuit_opened", logging.WARNING, host=circuit.name, until=circuit.open_until)


def record_circuit_failed(host: str, error: Exception) -> None:
    """Record that a host's circuit cannot be read or written; attempts go on without it."""
    text = redact_text(one_line(str(error)))
    _log("circuit_failed", logging.WARNING, host=host, error=text)


def record_secret_missing(delivery: Delivery) -> None:
    """Record that no callback can be sent: no secret is set."""
    _log("secret_missing", logging.ERROR, key=delivery.key)


def record_requeued(delivery: Delivery) -> None:
    """Record a settled delivery that is delivered again."""
    _log("requeued", key=delivery.key)


# --- maintenance


def record_rescued(key: Key, seq: int) -> None:
    """Record an overdue row for which a new wake-up was sent."""
    _log("rescued", logging.WARNING, key=key, seq=seq)


def record_look_ahead_restarted(table: str, late: timedelta) -> None:
    """Record that the look-ahead over a live table runs again: a message of it was lost."""
    _log("look_ahead_restarted", logging.WARNING, table=table, late=late)


def record_look_failed(table: str, error: Exception) -> None:
    """Record a look that failed; the following one looks in its place."""
    _log("look_failed", logging.WARNING, table=table, error=f"{type(error).__name__}: {error}")


def record_look_ahead_ended(table: str) -> None:
    """Record that nothing waits in a live table, so that its look-ahead has ended."""
    _log("look_ahead_ended", logging.DEBUG, table=table)


def record_unreadable_row(telemetry: Telemetry, table: str, key: Key, error: Exception) -> None:
    """Record a row that cannot be decoded; readers of its table go on without it."""
    _log("unreadable_row", logging.ERROR, table=table, key=key, error=str(error))
    telemetry.measure(UNREADABLE_ROWS, 1, table=table)


def record_repair_part_failed(part: str, error: BaseException) -> None:
    """Record a part of the repair that failed; the other parts went on."""
    _log("repair_part_failed", logging.ERROR, part=part, error=f"{type(error).__name__}: {error}")


def record_poison_message(*, is_wake_up: bool) -> None:
    """Record a message that the host had given up."""
    _log("poison_message", logging.ERROR, wake=is_wake_up)


def record_repaired(*, watches: int, deliveries: int, poisoned: int) -> None:
    """Record a completed run of the repair: how many rows and messages it handled."""
    _log("repaired", watches=watches, deliveries=deliveries, poisoned=poisoned)


def record_purge_failed(operation: Key, error: Exception) -> None:
    """Record an operation that the purge could not examine, and has passed over."""
    text = f"{type(error).__name__}: {error}"
    _log("purge_failed", logging.ERROR, key=operation, error=text)


def record_purged(*, results: int, rejections: int, circuits: int, failed: int) -> None:
    """Record a run of the purge: how much it removed, and how many operations it passed over."""
    _log("purged", results=results, rejections=rejections, circuits=circuits, failed=failed)
