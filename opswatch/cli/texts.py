"""Operations and deliveries as texts for people; `opswatch.views` has them as JSON."""

from datetime import datetime, timedelta

from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line
from opswatch.core.times import format_instant
from opswatch.core.watches import Result, Watch
from opswatch.queries import REGISTERED, OperationView

_BAR = 10  # characters of a progress bar


def operation_lines(view: OperationView) -> list[str]:
    """Return an operation as lines of a name and a value."""
    facts = view.facts
    values: dict[str, object] = {
        "status": view.status,
        "operation": facts.operation.key,
        "path": facts.operation.path,  # without the query, which may be a signature
        "kind": facts.kind,
        "registered": short_instant(facts.registered_at),
        "started": short_instant(facts.start_time),
        "polls": f"{facts.polls} ({facts.misses} missed)",
        "last miss": facts.last_miss,
        "progress": facts.percent_complete and f"{facts.percent_complete:g} %",
    }
    if isinstance(view.live, Result):
        end, seconds = view.live.end, view.live.duration_seconds
        values |= {
            "ended": short_instant(end.end_time),
            "seen": short_instant(end.finished_at),
            "took": None if seconds is None else str(timedelta(seconds=round(seconds))),
            "error": end.error and f"{end.error.code or 'no code'}: {end.error.message}",
            "lost": end.lost_reason,
            "result": end.result,
        }
    else:
        values["deadline"] = short_instant(facts.deadline_at)
        if expected := view.live.expected:
            earliest, latest = (
                short_instant(at) for at in (expected.earliest_at, expected.latest_at)
            )
            values["expected"] = f"{short_instant(expected.at)} ({earliest} to {latest})"
        values["slow"] = view.live.slow and "it runs longer than 99 of 100 of its kind"
    values["state"] = facts.client_state
    lines = [f"{name:<11} {one_line(str(value))}" for name, value in values.items() if value]
    return lines + [f"{'callback':<11} {delivery_text(d)}" for d in view.deliveries]


def change_text(live: Watch | Result) -> str:
    """Return the status of an operation, with its error, or its progress to the expected end."""
    if isinstance(live, Result):
        code = live.end.error and live.end.error.code
        return one_line(f"{live.end.status} {code or ''}")
    facts, expected = live.facts, live.expected
    text = one_line(facts.status or REGISTERED)
    if facts.percent_complete is not None:
        text += f" {facts.percent_complete:g} %"
    if expected is not None and facts.last_polled_at is not None:
        began_at = facts.began_at(facts.last_polled_at)
        passed, whole = facts.last_polled_at - began_at, expected.at - began_at
        share = passed / whole if facts.percent_complete is None else facts.percent_complete / 100
        # Full only at the end; the minute is enough, or each poll would be a change.
        done = min(_BAR - 1, int(share * _BAR))
        bar = "#" * done + "-" * (_BAR - done)
        text += f" [{bar}] until about {expected.at:%H:%M}"
    return f"{text}, slow" if live.slow else text


def delivery_text(delivery: Delivery) -> str:
    """Return a delivery in a line."""
    url = one_line(redact_text(delivery.callback_url))
    attempts = "1 attempt" if delivery.attempts == 1 else f"{delivery.attempts} attempts"
    text = f"{url} {delivery.state.value} after {attempts}"
    match delivery.state:
        case DeliveryState.DELIVERED:
            return f"{text}, {short_instant(delivery.delivered_at)}"
        case DeliveryState.ABANDONED:
            return f"{text}: {delivery.reason}"
        case DeliveryState.PENDING:
            error = f": {delivery.last_error}" if delivery.last_error else ""
            return f"{text}{error}; next at {short_instant(delivery.next_attempt_at)}"


def short_instant(at: datetime | None) -> str:
    """Return an instant to the second, in UTC; empty if there is none."""
    return format_instant(at.replace(microsecond=0)) if at else ""
