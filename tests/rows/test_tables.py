"""What goes over the wire comes back: rows, keys and wake-ups, whatever stands in them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opswatch.core.wire import (
    body_digest,
    date_partition,
    delivery_id,
    delivery_key,
    duration,
    timeline_key,
)

from opswatch.core.arm import ArmError
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.hosts import host_key
from opswatch.core.http import Layer
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key, WakeUp, callback_host, operation_from_url
from opswatch.core.texts import MAX_PROPERTY, utf16_length
from opswatch.core.watches import End, FinalStatus, Result, TimelineEntry, Watch
from opswatch.core.webhook import Attempt
from opswatch.rows.codec import Codec
from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import (
    DELIVERIES,
    HOSTS,
    OUTBOX,
    REJECTIONS,
    RESULTS,
    TABLES,
    TIMELINE,
    WATCHES,
)
from opswatch.steps.wakeups import read_wake_up, wake_up_message
from tests.support.builders import (
    HOOK,
    ID,
    KEY,
    NOW,
    PATH,
    SUBSCRIPTION,
    URL,
    arm_error,
    at,
    delivery,
    end,
    post,
    result,
    seconds,
    watch,
)

# --- any noun at all

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
INSTANTS = st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis asks for it
COUNTS = st.integers(0, 2**31 - 1)
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
SEGMENTS = (
    (
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\\"),
            min_size=1,
            max_size=150,
        )
        | st.text("\U0001f600\U00010400", min_size=60, max_size=150)  # two UTF-16 units each
    )
    .filter(lambda text: text not in (".", ".."))
    .map(lambda text: quote(text, safe=""))
)
URLS = st.builds(
    "https://management.azure.com/subscriptions/{}/providers/{}/locations/{}/{}{}/{}?t={}".format,
    SEGMENTS,
    SEGMENTS,
    SEGMENTS,
    st.sampled_from(["", "more/"]),
    SEGMENTS,
    SEGMENTS,
    st.from_regex("[a-z%=&]{0,9}", fullmatch=True),
)
OPERATIONS = URLS.map(operation_from_url)
HOOKS = st.builds("https://example.com/{}".format, TEXTS)
ERRORS = st.builds(ArmError, code=st.none() | TEXTS, message=st.none() | TEXTS, json=JSON_TEXTS)
ENDS = st.builds(
    End,
    status=st.sampled_from(FinalStatus),
    finished_at=INSTANTS,
    end_time=st.none() | INSTANTS,
    error=st.none() | ERRORS,
    result=st.none() | JSON_TEXTS,
    lost_reason=st.none() | TEXTS,
    truncated=st.booleans(),
)
FOLLOWED: dict[str, st.SearchStrategy[Any]] = {
    "operation": OPERATIONS,
    "registered_at": INSTANTS,
    "deadline_at": INSTANTS,
    "kind": st.none() | TEXTS,
    "status": st.none() | TEXTS,
    "start_time": st.none() | INSTANTS,
    "last_polled_at": st.none() | INSTANTS,
    "percent_complete": st.none() | st.floats(0, 100),
    "polls": COUNTS,
    "misses": COUNTS,
    "last_miss": st.none() | TEXTS,
    "callbacks": st.lists(HOOKS, max_size=3).map(tuple),
    "client_state": st.none() | JSON_TEXTS,
}
WATCH = st.builds(
    Watch,
    due_at=INSTANTS,
    seq=COUNTS,
    first_due_at=st.none() | INSTANTS,
    unreadable_since=st.none() | INSTANTS,
    end=st.none() | ENDS,
    **FOLLOWED,
)
# A record's status is that of its end.
RESULT = st.builds(Result, end=ENDS, **FOLLOWED).map(
    lambda made: replace(made, status=made.end.status.value)
)
LAYERS: list[Layer] = ["dns", "connect", "tls", "timeout", "http", "refused", "token"]
ATTEMPTS = st.builds(
    Attempt,
    at=INSTANTS,
    duration=st.integers(0, 100_000).map(lambda millis: millis / 1000),
    status_code=st.none() | st.integers(100, 599),
    layer=st.none() | st.sampled_from(LAYERS),
    error=st.none() | TEXTS,
)


def _delivery(operation: Key, callback_url: str, **known: Any) -> Delivery:
    key = delivery_key(operation, callback_url)
    return Delivery(
        key=key,
        operation=operation,
        delivery_id=delivery_id(key, callback_url),
        callback_url=callback_url,
        **known,
    )


DELIVERY = st.builds(
    _delivery,
    operation=OPERATIONS.map(lambda operation: operation.key),
    callback_url=HOOKS,
    started_at=INSTANTS,
    next_attempt_at=st.none() | INSTANTS,
    state=st.sampled_from(DeliveryState),
    reason=st.none() | TEXTS,
    attempts=COUNTS,
    round_attempts=COUNTS,
    seq=COUNTS,
    last_status_code=st.none() | st.integers(100, 599),
    last_error=st.none() | TEXTS,
    last_attempt_at=st.none() | INSTANTS,
    delivered_at=st.none() | INSTANTS,
    attempt_log=st.lists(ATTEMPTS, max_size=4).map(tuple),
)
ENTRY = st.builds(
    TimelineEntry,
    operation=OPERATIONS.map(lambda operation: operation.key),
    registered_at=INSTANTS.filter(lambda instant: instant.year >= 1970),
    status=st.none() | TEXTS,
    kind=st.none() | TEXTS,
    location=st.none() | TEXTS,
    start_time=st.none() | INSTANTS,
    end_time=st.none() | INSTANTS,
    finished_at=st.none() | INSTANTS,
    error_code=st.none() | TEXTS,
)
REJECTION = st.builds(
    Rejection,
    reason=st.sampled_from(Reason),
    detail=TEXTS,
    body=TEXTS,
    body_sha256=st.binary().map(lambda body: sha256(body).hexdigest()),
    received_at=INSTANTS,
    count=COUNTS,
)
HOST = st.builds(
    Host,
    name=st.from_regex(r"[a-z0-9.-]{1,253}:[0-9]{1,5}", fullmatch=True),
    failures=COUNTS,
    open_until=INSTANTS,
)


class SdkDatetime(datetime):
    """What the tables SDK hands out for an instant: a subclass of its own."""


def stored(row: Row) -> Row:
    """Return a row as the SDK reads it back."""
    return {name: _stored(value) for name, value in row.items()}


def _stored(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    return SdkDatetime.fromisoformat(value.isoformat())


def check(codec: Codec[Any], value: Any) -> None:
    row = codec.row(value)
    back = codec.read(stored(row))
    assert back == value
    assert codec.row(back) == row
    for name, value in row.items():
        assert type(value) in (str, int, float, bool, datetime), (name, value)
        assert name in ("PartitionKey", "RowKey") or name[0].islower()
    check_key(codec.key(value))
    assert (row["PartitionKey"], row["RowKey"]) == (
        codec.key(value).partition,
        codec.key(value).row,
    )


def check_key(key: Key) -> None:
    """Hold a key to what Table Storage takes.

    https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
    """
    for text in (key.partition, key.row):
        assert 0 < utf16_length(text) <= 512
        assert not set(text) & set("/\\#?%")
        assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in text)


@given(WATCH)
def test_a_watch_survives_its_row(value: Watch) -> None:
    check(WATCHES, value)


@given(RESULT)
def test_a_result_survives_its_row(value: Result) -> None:
    check(RESULTS, value)


@given(DELIVERY)
def test_a_delivery_survives_its_row(value: Delivery) -> None:
    check(OUTBOX, value)
    check(DELIVERIES, value)


@given(ENTRY)
def test_a_line_of_the_list_survives_its_row(value: TimelineEntry) -> None:
    check(TIMELINE, value)


@given(REJECTION)
def test_a_rejection_survives_its_row(value: Rejection) -> None:
    check(REJECTIONS, value)


@given(HOST)
def test_a_host_survives_its_row(value: Host) -> None:
    check(HOSTS, value)


# --- the columns that users read


def columns(row: Row, names: Iterable[str]) -> Row:
    return {name: row[name] for name in names if name in row}


def test_a_result_has_the_columns_of_the_contract() -> None:
    error = arm_error("Conflict", "It is in use.", target=None)
    value = result(
        kind="redis/create",
        registered_at=NOW,
        start_time=at(1),
        last_polled_at=at(500),
        percent_complete=100.0,
        polls=12,
        misses=1,
        last_miss="429 TooManyRequests",
        callbacks=(HOOK,),
        client_state='{"ticket":42}',
        end=end(FinalStatus.FAILED, finished_at=at(501), end_time=at(491), error=error),
    )
    assert RESULTS.row(value) == {
        "PartitionKey": SUBSCRIPTION,
        "RowKey": f"microsoft.cache~westus~operationsstatus~{ID}",
        "operationId": ID,
        "provider": "microsoft.cache",
        "location": "westus",
        "collection": "operationsstatus",
        "apiVersion": "2024-10-01",
        "kind": "redis/create",
        "url": URL,
        "status": "Failed",
        "registeredAt": NOW,
        "lastPolledAt": at(500),
        "deadlineAt": at(86_400),
        "startTime": at(1),
        "endTime": at(491),
        "finishedAt": at(501),
        "durationSeconds": 490.0,
        "percentComplete": 100.0,
        "errorCode": "Conflict",
        "errorMessage": "It is in use.",
        "errorJson": '{"code": "Conflict", "message": "It is in use.", "target": null}',
        "polls": 12,
        "misses": 1,
        "lastMiss": "429 TooManyRequests",
        "callbacks": f'["{HOOK}"]',
        "clientState": '{"ticket":42}',
        "truncated": False,
    }


def test_a_watch_has_what_only_a_watch_has() -> None:
    row = WATCHES.row(watch(status="InProgress", due_at=at(5), seq=3))
    assert columns(row, ["status", "dueAt", "seq", "endTime", "finishedAt", "truncated"]) == {
        "status": "InProgress",
        "dueAt": at(5),
        "seq": 3,
    }


def test_a_watch_keeps_arms_word_beside_its_end() -> None:
    value = watch(status="InProgress", end=end(FinalStatus.TIMED_OUT, result='{"a":1}'))
    row = WATCHES.row(value)
    assert row["status"] == "InProgress"
    assert row["resultJson"] == '{"a":1}'
    assert WATCHES.read(row) == value


def test_a_delivery_has_the_columns_of_the_contract() -> None:
    attempt = Attempt(at=NOW, duration=0.12345, status_code=503, layer="http", error="503 busy")
    row = OUTBOX.row(delivery(attempts=1, attempt_log=(attempt,), last_error="503 busy", seq=2))
    assert row == {
        "PartitionKey": SUBSCRIPTION,
        "RowKey": f"{KEY.row}~{sha256(HOOK.encode()).hexdigest()[:8]}",
        "operationKey": KEY.row,
        "deliveryId": row["deliveryId"],
        "callbackUrl": HOOK,
        "state": "pending",
        "attempts": 1,
        "roundAttempts": 0,
        "seq": 2,
        "lastError": "503 busy",
        "startedAt": NOW,
        "nextAttemptAt": NOW,
        "attemptLog": '[{"at":"2026-11-23T03:05:40Z","duration":0.123,"statusCode":503,'
        '"layer":"http","error":"503 busy"}]',
    }


@cases(
    "start, stop, length",
    {
        "both": (NOW, at(490.25), 490.25),
        "none at all": (NOW, NOW, 0.0),
        "no start": (None, NOW, None),
        "no end": (NOW, None, None),
        "an end before the start": (at(1), NOW, None),
    },
)
def test_a_duration_is_arms(
    start: datetime | None, stop: datetime | None, length: float | None
) -> None:
    assert duration(result(start_time=start, end=end(end_time=stop))) == length


def test_a_full_log_fits_its_property() -> None:
    attempt = Attempt(at=NOW, duration=9.999, status_code=500, layer="http", error='"\\' * 256)
    row = OUTBOX.row(delivery(attempt_log=(attempt,) * 20))
    assert utf16_length(row["attemptLog"]) <= MAX_PROPERTY


def test_each_table_and_queue_has_a_name_that_azure_takes() -> None:
    assert len(set(TABLES)) == len(TABLES)
    assert all(name.isascii() and name.isalpha() and name.islower() for name in TABLES)
    assert QUEUES == ("operations", "deliveries")


@cases(
    "codec, noun",
    {"watch": (WATCHES, watch()), "delivery": (OUTBOX, delivery())},
)
def test_a_live_row_says_when_it_is_due(codec: Codec[Any], value: Any) -> None:
    assert codec.row(value)[codec.due] == NOW


# --- keys


def test_a_delivery_is_one_of_an_operation_and_a_callback() -> None:
    key = delivery_key(KEY, HOOK)
    assert key == Key(KEY.partition, f"{KEY.row}~{sha256(HOOK.encode()).hexdigest()[:8]}")
    assert delivery_key(KEY, HOOK + "/") != key
    assert delivery_id(key, HOOK) == delivery_id(key, HOOK)
    assert delivery_id(key, HOOK) != delivery_id(Key(KEY.partition, "other"), HOOK)
    assert delivery_id(key, HOOK).startswith("msg_")


@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), min_size=2))  # noqa: DTZ001 - hypothesis asks for it
def test_the_list_is_ordered_newest_first(naive: list[datetime]) -> None:
    instants = [instant.replace(tzinfo=UTC) for instant in naive]
    keys = {instant: timeline_key(KEY, instant) for instant in instants}
    for one in instants:
        for other in instants:
            if one.date() != other.date():
                assert (keys[one].partition < keys[other].partition) == (one < other)
            elif abs(one - other) >= timedelta(milliseconds=1):
                assert (keys[one].row < keys[other].row) == (one > other)


def test_a_line_of_the_list_names_its_operation() -> None:
    key = timeline_key(KEY, datetime(2026, 11, 23, 3, 5, 40, 500_000, tzinfo=UTC))
    inverted = 253_402_300_799_999 - 1_795_403_140_500
    assert key == Key("2026-11-23", f"{inverted}~{KEY.partition}~{KEY.row}")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://Hooks.Example.com/a?b=c", "hooks.example.com"),
        ("https://hooks.example.com:8443/a", "hooks.example.com:8443"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]"),
    ],
)
def test_a_host_is_known_by_its_name_and_port(url: str, name: str) -> None:
    assert callback_host(url) == name
    check_key(host_key(name))


def test_a_host_with_a_long_name_has_a_key_too() -> None:
    check_key(host_key(callback_host(f"https://{'a' * 60}.{'b' * 60}.{'c' * 60}.example.com/")))


def test_a_date_is_utcs() -> None:
    assert date_partition(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == (
        "2025-12-31"
    )


def test_a_rejection_lives_under_its_day_and_its_body() -> None:
    value = Rejection(
        reason=Reason.EMPTY, detail="", body="", body_sha256=body_digest(b"x"), received_at=NOW
    )
    assert REJECTIONS.key(value) == Key("2026-11-23", sha256(b"x").hexdigest())


# --- wake-ups


@given(
    st.builds(
        WakeUp,
        OPERATIONS.map(lambda operation: operation.key),
        COUNTS,
        st.none() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True),
    )
)
def test_a_wake_up_survives_its_message(wake: WakeUp) -> None:
    text = wake_up_message(wake)
    assert read_wake_up(text.encode()) == wake
    assert len(text.encode()) < 4096


# What the Functions host binds beside a message: a property of the same name would replace it.
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#message-metadata
METADATA = {
    "id", "dequeuecount", "expirationtime", "insertiontime", "nextvisibletime", "popreceipt",
    "queuetrigger",
}  # fmt: skip


def test_a_wake_up_hides_none_of_the_hosts_metadata() -> None:
    message = json.loads(wake_up_message(WakeUp(KEY, 1, "00-0-0-0")))
    assert isinstance(message, dict)
    assert not {name.lower() for name in message} & METADATA


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"\xff", ID.encode(), PATH.encode(), b'{"wake":1}',
        b'{"wake":{}}', b'{"wake":{"partition":"a","row":"b"}}',
        b'{"wake":{"partition":"a","row":"b","seq":"1"}}',
        b'{"wake":{"partition":"a","row":"b","seq":1.5}}', b'{"Wake":{}}',
        b'{"wake":' + b"[" * 100_000, json.dumps({"operation": URL}).encode(),
    ],
)  # fmt: skip
def test_a_post_is_no_wake_up(body: bytes) -> None:
    assert read_wake_up(body) is None


@pytest.mark.parametrize("name", ["operation", "id", "operationId"])
def test_a_post_that_says_wake_is_still_a_post(name: str) -> None:
    body = {name: ID, "wake": {"partition": KEY.partition, "row": KEY.row, "seq": 1}}
    assert read_wake_up(json.dumps(body).encode()) is None
    assert not isinstance(post(body), Rejection)


@given(st.binary())
def test_no_bytes_are_too_strange_for_a_wake_up(body: bytes) -> None:
    assert read_wake_up(body) is None


def test_the_builders_are_what_the_code_makes() -> None:
    assert watch().facts.operation.key == delivery().operation == KEY
    assert seconds(1) == timedelta(seconds=1)
