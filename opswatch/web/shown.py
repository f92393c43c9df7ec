"""Rows as the API shows them: names are the table's, and what may be a secret is left out.

Columns are shown by name, so that a new one is a decision. A callback URL shows its scheme and
host, the operation's URL no query; texts and JSON of ARM and of receivers are redacted.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from opswatch.core.deliveries import Delivery
from opswatch.core.intake import Rejection, packed_in_base64
from opswatch.core.keys import Key
from opswatch.core.kinds import KindDurations
from opswatch.core.redact import redact, redact_text
from opswatch.core.summary import HourCounts, Summary
from opswatch.core.texts import cut, from_json, to_json
from opswatch.core.timeline import SettledEntry, origin_of, without_url
from opswatch.core.times import format_instant
from opswatch.core.urls import is_resource_url
from opswatch.core.watches import Result
from opswatch.queries import ListedOperation, OperationView
from opswatch.rows import tables
from opswatch.views import row_as_json

_OPERATION = (
    "operationId", "provider", "location", "collection", "apiVersion", "kind", "resourceId", "url",
    "status", "registeredAt", "lastPolledAt", "deadlineAt", "startTime", "endTime", "finishedAt",
    "dueAt", "durationSeconds", "percentComplete", "errorCode", "errorMessage", "errorJson",
    "errorCodeInner", "errorMessageInner", "resultJson", "polls", "misses", "lastMiss",
    "lostReason", "pollLog", "expectedEndAt", "expectedEndEarliestAt", "expectedEndLatestAt",
    "slow", "round", "earlierEnds", "callbacks", "callbackOn", "clientState", "truncated",
)  # fmt: skip
_LISTED_ALIVE = (
    "status", "startTime", "lastPolledAt", "dueAt", "deadlineAt", "percentComplete", "polls",
    "misses", "lastMiss", "expectedEndAt", "expectedEndEarliestAt", "expectedEndLatestAt", "slow",
    "round", "resourceId",
)  # fmt: skip
_DELIVERY = (
    "deliveryId", "state", "reason", "attempts", "lastStatusCode", "lastAttemptAt", "nextAttemptAt",
    "deliveredAt", "settledAt", "startedAt", "round", "callbackOn",
)  # fmt: skip
_TEXTS = ("errorMessage", "errorMessageInner", "lastMiss", "lostReason")
_MOST_OF_A_BODY = 4096  # characters of a rejected post
_CALLBACK_URL = re.compile(r'("callbackUrl"\s*:\s*")([^"]*)')  # also in a text that is not JSON


def operation(view: OperationView) -> dict[str, Any]:
    """Return an operation with its deliveries."""
    live = view.live
    is_result = isinstance(live, Result)
    entity = (
        tables.RESULTS.encode(live) if isinstance(live, Result) else tables.WATCHES.encode(live)
    )
    row = _columns(row_as_json(entity), _OPERATION)
    row["status"] = view.status
    row["url"] = row["url"].partition("?")[0]
    if "callbacks" in row:
        row["callbacks"] = [origin_of(url) for url in view.facts.callbacks]
    if view.facts.callback_on is not None:
        row["callbackOn"] = _by_origin(view.facts.callback_on)
    for name in _TEXTS:
        if name in row:
            row[name] = redact_text(row[name])
    # A resource body is left out: only the identity of opswatch may read it.
    if is_resource_url(view.facts.operation.url):
        row.pop("resultJson", None)
    for name in ("errorJson", "resultJson"):
        if name in row:
            row[name] = redact(row[name])
    return {
        **_identity(view.facts.operation.key, "finished" if is_result else "watching"),
        **row,
        "deliveries": [delivery(each) for each in view.deliveries],
    }


def listed_operation(listed: ListedOperation) -> dict[str, Any]:
    """Return an operation as a list shows it."""
    entry = listed.entry
    row = row_as_json(tables.TIMELINE.encode(entry))
    for name in ("PartitionKey", "RowKey", "operationKey"):
        del row[name]
    is_running = entry.finished_at is None
    if listed.watch is not None and is_running:
        row |= _columns(row_as_json(tables.WATCHES.encode(listed.watch)), _LISTED_ALIVE)
        if "lastMiss" in row:
            row["lastMiss"] = redact_text(row["lastMiss"])
    row["status"] = listed.status
    row["operationId"] = listed.operation_id
    row["provider"] = listed.part(0)
    return {**_identity(entry.operation, "watching" if is_running else "finished"), **row}


def delivery(shown: Delivery | SettledEntry) -> dict[str, Any]:
    """Return a delivery, as an operation or a list shows it."""
    codec: Any = tables.DELIVERIES if isinstance(shown, Delivery) else tables.SETTLED
    row = _columns(row_as_json(codec.encode(shown)), _DELIVERY)
    url = shown.callback_url
    if shown.last_error is not None:
        row["lastError"] = without_url(shown.last_error, url)
    if isinstance(shown, Delivery):
        row["attemptLog"] = [
            {**attempt, "error": without_url(attempt["error"], url)}
            if "error" in attempt
            else attempt
            for attempt in row_as_json(tables.DELIVERIES.encode(shown)).get("attemptLog", ())
        ]
    parts = shown.operation.row.split("~")
    return {
        "subscriptionId": shown.operation.partition,
        "operationKey": shown.operation.row,
        "operationId": parts[3] if len(parts) > 3 else "",  # noqa: PLR2004 - the key's id
        "callbackUrl": origin_of(url),
        **row,
    }


def rejection(shown: Rejection) -> dict[str, Any]:
    """Return a rejected post; of its body, decoded if it is base64, what a person reads."""
    packed = packed_in_base64(shown.body.strip())
    body = shown.body if packed is None else packed.decode("utf-8", "replace")
    with suppress(ValueError):
        posted = from_json(body)
        if '"callbackUrl"' in to_json(posted):
            body = to_json(redact(posted))
    body = _CALLBACK_URL.sub(lambda found: found[1] + origin_of(found[2]), body)
    return {
        "day": shown.key.partition,
        "id": shown.body_sha256,
        "reason": shown.reason.value,
        "detail": redact_text(shown.detail),
        "body": redact_text(cut(body, _MOST_OF_A_BODY)),
        "receivedAt": format_instant(shown.received_at),
        "count": shown.count,
    }


def kinds(known: list[KindDurations], counted: Summary) -> list[dict[str, Any]]:
    """Return the kinds: what is known of each, and how many of its operations run."""
    by_key = {(each.provider, each.kind): each for each in known}
    running = {(count.provider, count.kind): count for count in counted.kinds}
    rows: list[dict[str, Any]] = []
    for provider, kind in sorted({*by_key, *running}):
        each = by_key.get((provider, kind)) or KindDurations(provider=provider, kind=kind)
        count = running.get((provider, kind))
        is_collection = kind.startswith("~")
        rows.append(
            {
                "provider": provider,
                "kind": None if is_collection else kind.replace("~", "/"),
                "collection": kind[1:] if is_collection else None,
                "n": each.operations,
                "p50": each.p50,
                "p90": each.p90,
                "p99": each.p99,
                "updatedAt": each.updated_at and format_instant(each.updated_at),
                "running": count.running if count else 0,
                "slow": count.slow if count else 0,
            }
        )
    return rows


def summary(counted: Summary) -> dict[str, Any]:
    """Return what needs attention, and the counts by hour."""
    hours = [_hour(hour) for hour in counted.hours]
    total = HourCounts(hour="")
    for hour in counted.hours:
        total = total.plus(hour)
    last_day = {name: value for name, value in _hour(total).items() if name != "hour"}
    return {
        "countedAt": counted.counted_at and format_instant(counted.counted_at),
        "watching": counted.watching,
        "overdue": counted.overdue,
        "slow": counted.slow,
        "oldestDueAt": counted.oldest_due_at and format_instant(counted.oldest_due_at),
        "pending": counted.pending,
        "failing": counted.failing,
        "queued": counted.queued or {},
        "poisoned": counted.poisoned or {},
        "circuits": [
            {
                "host": each.host,
                "failures": each.failures,
                "openUntil": format_instant(each.open_until),
            }
            for each in counted.circuits
        ],
        "last24Hours": last_day,
        "hours": hours,
    }


def _hour(counts: HourCounts) -> dict[str, Any]:
    row = tables.HOURS.encode(counts)
    del row["PartitionKey"]
    return {"hour": row.pop("RowKey"), **row}


def _identity(key: Key, state: str) -> dict[str, Any]:
    return {"subscriptionId": key.partition, "key": key.row, "state": state}


def _columns(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}


def _by_origin(callback_on: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Return the ends of each callback by its host; of two at one host, those of both."""
    shown: dict[str, list[str]] = {}
    for url, ends in callback_on.items():
        known = shown.setdefault(origin_of(url), [])
        known += [end for end in ends if end not in known]
    return shown
