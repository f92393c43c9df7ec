"""Rows as JSON: every column, instants in RFC 3339, and columns of JSON as values."""

import json
from datetime import timedelta
from typing import Any

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.watches import FinalStatus, timeline_entry
from opswatch.core.webhook import Attempt
from opswatch.rows import tables
from opswatch.views import row_as_json
from tests.support.builders import (
    HOOK,
    ID,
    KEY,
    NOW,
    SUBSCRIPTION,
    URL,
    arm_error,
    at,
    delivery,
    end,
    result,
    watch,
)

STARTED, SEEN = "2026-11-23T03:05:10Z", "2026-11-23T03:05:40Z"
KNOWN: dict[str, Any] = {
    "kind": "redis/create",
    "status": "Failed",
    "start_time": at(-30),
    "callbacks": (HOOK,),
    "client_state": '{"ticket":42}',
}
OPERATION = {
    "PartitionKey": SUBSCRIPTION,
    "RowKey": KEY.row,
    "operationId": ID,
    "provider": "microsoft.cache",
    "location": "westus",
    "collection": "operationsstatus",
    "apiVersion": "2024-10-01",
    "url": URL,
}


def test_watch_is_shown_as_its_row() -> None:
    assert row_as_json(tables.WATCHES.encode(watch(**KNOWN))) == OPERATION | {
        "registeredAt": SEEN,
        "deadlineAt": "2026-11-24T03:05:40Z",
        "dueAt": SEEN,
        "far": False,
        "kind": "redis/create",
        "status": "Failed",
        "startTime": STARTED,
        "polls": 0,
        "misses": 0,
        "seq": 1,
        "round": 1,
        "callbacks": [HOOK],
        "clientState": {"ticket": 42},
    }


def test_result_and_its_deliveries_are_shown_as_their_rows() -> None:
    ended = end(
        FinalStatus.FAILED, end_time=at(-1), error=arm_error(target="x"), result='{"a":[1]}'
    )
    log = (Attempt(at=NOW, duration=0.25, status_code=500, layer="http", error="500"),)
    pending = delivery(attempts=1, attempt_log=log)
    settled = delivery(state=DeliveryState.DELIVERED, delivered_at=at(1))
    shown = row_as_json(tables.RESULTS.encode(result(**KNOWN, end=ended)))
    assert {name: shown[name] for name in OPERATION} == OPERATION
    assert (shown["status"], shown["endTime"], shown["finishedAt"]) == (
        "Failed", "2026-11-23T03:05:39Z", SEEN,
    )  # fmt: skip
    assert shown["durationSeconds"] == 29.0
    assert shown["errorJson"] == {"code": "Conflict", "message": "It is in use.", "target": "x"}
    assert (shown["errorCode"], shown["errorMessage"]) == ("Conflict", "It is in use.")
    assert (shown["resultJson"], shown["clientState"]) == ({"a": [1]}, {"ticket": 42})
    first, second = (row_as_json(tables.DELIVERIES.encode(each)) for each in (pending, settled))
    assert (first["state"], first["attempts"], first["nextAttemptAt"]) == ("pending", 1, SEEN)
    assert first["attemptLog"] == [
        {"at": SEEN, "duration": 0.25, "statusCode": 500, "layer": "http", "error": "500"}
    ]
    assert (second["state"], second["deliveredAt"]) == ("delivered", "2026-11-23T03:05:41Z")


def test_json_that_was_cut_stays_text() -> None:
    cut = end(result='{"a":"bc', truncated=True)
    shown = row_as_json(tables.RESULTS.encode(result(end=cut)))
    assert shown["resultJson"] == '{"a":"bc'


def test_timeline_entry_is_shown_as_its_row() -> None:
    ended = end(FinalStatus.FAILED, end_time=at(-1), error=arm_error())
    shown = row_as_json(tables.TIMELINE.encode(timeline_entry(result(**KNOWN).facts, ended)))
    del shown["PartitionKey"], shown["RowKey"]
    assert shown == {
        "subscriptionId": SUBSCRIPTION,
        "operationKey": KEY.row,
        "operationId": ID,
        "provider": "microsoft.cache",
        "registeredAt": SEEN,
        "status": "Failed",
        "kind": "redis/create",
        "location": "westus",
        "startTime": STARTED,
        "endTime": "2026-11-23T03:05:39Z",
        "finishedAt": SEEN,
        "durationSeconds": 29.0,
        "polls": 0,
        "misses": 0,
        "errorCode": "Conflict",
        "errorMessage": "It is in use.",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (NOW + timedelta(microseconds=5), "2026-11-23T03:05:40.000005Z"),
        ("[1]", "[1]"),  # not a column of JSON
        (2**40, 2**40),
        (0.5, 0.5),
        (False, False),
    ],
)
def test_other_columns_keep_their_values(value: object, shown: object) -> None:
    assert row_as_json({"column": value}) == {"column": shown}
    assert json.loads(json.dumps(shown)) == shown
