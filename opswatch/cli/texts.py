"""Operations and deliveries of the API as lines for people."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from opswatch.cli.operations import key_of
from opswatch.cli.output import Row, instant_of, span
from opswatch.core.keys import Key
from opswatch.core.poll_log import MISSED
from opswatch.core.texts import one_line, to_json
from opswatch.core.times import format_instant

_BAR = 10  # characters of a progress bar
_WIDTH = 11  # of a name
_FAILING = 3  # misses in a row: fewer are everyday
_REASON = {  # of an end of ours
    "TimedOut": "it had not ended at its deadline",
    "Stopped": "a user ended the watch; the operation itself may go on",
}

When = Callable[[datetime | None], str]  # an instant as `--time` says


def operation_lines(row: Row, when: When) -> list[str]:
    """Return an operation as lines of a name and a value."""
    seconds, percent = row.get("durationSeconds"), row.get("percentComplete")
    values: dict[str, object] = {
        "status": row["status"],
        "operation": key_of(row),
        "resource": row.get("resourceId"),
        "url": row.get("url"),  # without the query, which may be a signature
        "kind": row.get("kind"),
        "registered": when(instant_of(row, "registeredAt")),
        "started": when(instant_of(row, "startTime")),
        "polls": _polls(row),
        "polled": when(instant_of(row, "lastPolledAt")),
        "next poll": when(instant_of(row, "dueAt")),
        "last miss": row.get("lastMiss"),
        "progress": None if percent is None else f"{percent:g} %",
        "ended": when(instant_of(row, "endTime")),
        "seen": when(instant_of(row, "finishedAt")),
        "took": None if seconds is None else span(timedelta(seconds=seconds)),
        "error": _error(row.get("errorCode"), row.get("errorMessage")),
        "cause": _error(row.get("errorCodeInner"), row.get("errorMessageInner")),
        "reason": row.get("lostReason") or _REASON.get(row["status"]),
        "result": row.get("resultJson") and _json(row["resultJson"]),
        "state": row.get("clientState") and _json(row["clientState"]),
        "round": row["round"] if row.get("round", 1) > 1 else None,
    }
    if row["state"] == "watching":
        values["deadline"] = when(instant_of(row, "deadlineAt"))
        if expected := instant_of(row, "expectedEndAt"):
            first, last = (
                when(instant_of(row, name))
                for name in ("expectedEndEarliestAt", "expectedEndLatestAt")
            )
            values["expected"] = f"{when(expected)} ({first} to {last})"
        values["slow"] = row.get("slow") and "it runs longer than 99 of 100 of its kind"
    lines = [f"{name:<{_WIDTH}} {one_line(str(value))}" for name, value in values.items() if value]
    deliveries = [delivery_text(delivery, when) for delivery in row.get("deliveries", ())]
    return lines + [f"{'callback':<{_WIDTH}} {text}" for text in deliveries]


def change_text(row: Row, bars: dict[tuple[Key, int], int]) -> str:
    """Return the status of an operation, with its error, or its progress to the expected end.

    `bars` keeps how far the bar of each operation and round was: an end that is expected later
    than before does not draw it back.
    """
    text = one_line(str(row["status"]))
    if row["state"] == "finished":
        code = row.get("errorCodeInner") or row.get("errorCode") or ""
        return one_line(f"{text} {code}").strip()
    percent: float | None = row.get("percentComplete")
    if percent is not None:
        text += f" {percent:g} %"
    expected, polled = instant_of(row, "expectedEndAt"), instant_of(row, "lastPolledAt")
    began = instant_of(row, "startTime") or instant_of(row, "registeredAt")
    if expected is not None and polled is not None and began is not None:
        whole = max(expected - began, timedelta(seconds=1))
        share = (polled - began) / whole if percent is None else percent / 100
        # Full only at the end; the minute is enough, or each poll would be a change.
        drawn = key_of(row), int(row.get("round", 1))
        done = max(bars.get(drawn, 0), min(_BAR - 1, int(share * _BAR)))
        bars[drawn] = done
        bar = "#" * done + "-" * (_BAR - done)
        text += f" [{bar}] until about {expected:%H:%M}"
    text += ", slow" if row.get("slow") else ""
    failing = polls_fail_with(row)
    return f"{text}, polls fail: {failing}" if failing else text


def polls_fail_with(row: Row) -> str | None:
    """Return what the polls of a watch meet, in short, if the latest ones could not read it.

    A list has no log of polls: there it is known only of a watch that was never read.
    """
    if row["state"] == "finished" or misses_in_a_row(row) < _FAILING:
        return None
    return one_line(str(row.get("lastMiss", ""))).partition(": ")[0]


def misses_in_a_row(row: Row) -> int:
    """Return how many of the latest polls have missed."""
    if "pollLog" not in row:
        misses = int(row.get("misses", 0))
        return misses if misses == row.get("polls") else 0
    latest = takewhile(lambda entry: entry[1] == MISSED, reversed(row["pollLog"]))
    return sum(entry[3] for entry in latest)


def delivery_text(row: Row, when: When) -> str:
    """Return a delivery in a line."""
    attempts = "1 attempt" if row["attempts"] == 1 else f"{row['attempts']} attempts"
    text = f"{one_line(row['callbackUrl'])} {row['state']} after {attempts}"
    match row["state"]:
        case "delivered":
            text += f", {when(instant_of(row, 'deliveredAt'))}"
        case "abandoned":
            text += f": {one_line(row.get('reason') or '')}"
        case _:
            error = row.get("lastError")
            text += f": {one_line(error)}" if error else ""
            text += f"; next {when(instant_of(row, 'nextAttemptAt'))}"
    return f"{text} ({row['deliveryId']})"


def short_instant(at: datetime | None) -> str:
    """Return an instant to the second, in UTC; empty if there is none."""
    return format_instant(at.replace(microsecond=0)) if at else ""


def _polls(row: Row) -> str:
    """Return the count of polls; misses that go on until now are another matter than old ones."""
    latest = misses_in_a_row(row)
    if not latest or row["state"] == "finished":
        return f"{row['polls']} ({row['misses']} missed)"
    return f"{row['polls']} ({row['misses']} missed, the latest {latest} in a row)"


def _error(code: str | None, message: str | None) -> str | None:
    return f"{code or 'no code'}: {message or ''}" if code or message else None


def _json(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)
