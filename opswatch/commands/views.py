"""Operations and deliveries as JSON objects and as texts: what the terminal shows of a row."""

from datetime import datetime, timedelta
from typing import Any

from opswatch.commands.operations import REGISTERED, Standing
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.keys import Key, path_of
from opswatch.core.redact import redact_text
from opswatch.core.texts import from_json, one_line
from opswatch.core.times import format_instant
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.rows.codec import Entity
from opswatch.rows.tables import DELIVERIES, RESULTS, TIMELINE, WATCHES

_JSON_COLUMNS = frozenset({"callbacks", "clientState", "errorJson", "resultJson", "attemptLog"})


def key_text(key: Key) -> str:
    """Return a key as commands take it."""
    return f"{key.partition}/{key.row}"


def standing_json(standing: Standing) -> dict[str, Any]:
    """Return an operation as its row has it, with its state and its deliveries."""
    deliveries = [_plain(DELIVERIES.row(delivery)) for delivery in standing.deliveries]
    match standing.followed:
        case Result() as result:
            row = {"state": "finished", **_plain(RESULTS.row(result))}
        case watch:
            row = {"state": "watching", **_plain(WATCHES.row(watch))}
    return row | {"deliveries": deliveries}


def line_json(line: TimelineEntry) -> dict[str, Any]:
    """Return a line of the list as its row has it."""
    row = _plain(TIMELINE.row(line))
    del row["PartitionKey"], row["RowKey"]
    return row


def _plain(row: Entity) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return format_instant(value)
    if name not in _JSON_COLUMNS:
        return value
    try:
        return from_json(value)
    except ValueError:  # its row had to be cut
        return value


def standing_lines(standing: Standing) -> list[str]:
    """Return an operation as lines of a name and a value."""
    followed = standing.followed
    facts: dict[str, object] = {
        "status": standing.status,
        "operation": key_text(followed.facts.operation.key),
        "path": path_of(followed.facts.operation.url),  # the query may be a signature
        "kind": followed.facts.kind,
        "registered": moment(followed.facts.registered_at),
        "started": moment(followed.facts.start_time),
        "polled": f"{followed.facts.polls} times, {followed.facts.misses} of them missed",
        "last miss": followed.facts.last_miss,
        "progress": followed.facts.percent_complete and f"{followed.facts.percent_complete:g} %",
        "deadline": moment(followed.facts.deadline_at),
        **(_end_facts(followed) if isinstance(followed, Result) else {}),
        "state": followed.facts.client_state,
    }
    lines = [f"{name:<11} {one_line(str(value))}" for name, value in facts.items() if value]
    return lines + [f"{'callback':<11} {delivery_text(d)}" for d in standing.deliveries]


def _end_facts(result: Result) -> dict[str, object]:
    end = result.end
    seconds = wire.duration(result)
    return {
        "deadline": None,
        "ended": moment(end.end_time),
        "seen": moment(end.finished_at),
        "took": None if seconds is None else str(timedelta(seconds=round(seconds))),
        "error": end.error and f"{end.error.code or 'no code'}: {end.error.message}",
        "lost": end.lost_reason,
        "result": end.result,
    }


def change_text(followed: Watch | Result) -> str:
    """Return in a few words how far an operation has come."""
    if isinstance(followed, Result):
        code = followed.end.error and followed.end.error.code
        return one_line(f"{followed.end.status} {code or ''}")
    progress = followed.facts.percent_complete
    status = one_line(followed.facts.status or REGISTERED)
    return status if progress is None else f"{status} {progress:g} %"


def delivery_text(delivery: Delivery) -> str:
    """Return a delivery in a line."""
    url = one_line(redact_text(delivery.callback_url))
    tried = f"{delivery.state.value} after {delivery.attempts} POST"
    match delivery.state:
        case DeliveryState.DELIVERED:
            return f"{url} {tried}, {moment(delivery.delivered_at)}"
        case DeliveryState.ABANDONED:
            return f"{url} {tried}: {delivery.reason}"
        case DeliveryState.PENDING:
            last = f": {delivery.last_error}" if delivery.last_error else ""
            return f"{url} {tried}{last}; next at {moment(delivery.next_attempt_at)}"


def moment(at: datetime | None) -> str:
    """Return an instant to the second, in UTC."""
    return format_instant(at.replace(microsecond=0)) if at else ""
