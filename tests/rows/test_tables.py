"""The tables: every noun survives its row, and users find the columns of the contract."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from hashlib import sha256
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from opswatch.adapters.entities import decode_entity, encode_entity
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.hosts import HostCircuit
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key, Operation, operation_from_url
from opswatch.core.texts import MAX_PROPERTY, utf16_length
from opswatch.core.timeline import SettledEntry, UnsuccessfulEntry
from opswatch.core.watches import (
    End,
    FinalStatus,
    Result,
    TimelineEntry,
    Watch,
)
from opswatch.core.webhook import Attempt, attempt_of
from opswatch.rows.codec import Codec, Entity
from opswatch.rows.tables import (
    DELIVERIES,
    HOSTS,
    OUTBOX,
    REJECTIONS,
    RESULTS,
    SETTLED,
    TABLES,
    TIMELINE,
    UNSUCCESSFUL,
    WATCHES,
)
from tests.fuzz.properties import check_row
from tests.support.builders import (
    HOOK,
    ID,
    KEY,
    NOW,
    SUBSCRIPTION,
    URL,
    answer,
    arm_error,
    at,
    change,
    delivery,
    end,
    result,
    watch,
)
from tests.support.cases import cases

# --- any noun

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
INSTANTS = st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis asks for it
COUNTS = st.integers(0, 2**31 - 1)
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
KEYS = OPERATIONS.map(lambda operation: operation.key)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: COUNTS,
    float: st.floats(0, 100),
    bool: st.booleans(),
    datetime: INSTANTS,
    Key: KEYS,
    Operation: OPERATIONS,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return any value of the type of a field."""
    parts = get_args(kind)
    if kind in BY_TYPE:
        return BY_TYPE[kind]
    if get_origin(kind) is tuple and parts[-1] is not Ellipsis:
        return st.tuples(*map(values, parts))
    if get_origin(kind) is tuple:
        return st.lists(values(parts[0]), max_size=4).map(tuple)
    if get_origin(kind) is dict:
        return st.dictionaries(values(parts[0]), values(parts[1]), max_size=3)
    if get_origin(kind) is Literal:
        return st.sampled_from(parts)
    if parts:  # or None
        return st.none() | values(parts[0])
    return st.sampled_from(kind) if issubclass(kind, Enum) else nouns(kind)


def nouns(cls: Any, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return any noun of a dataclass, whose new fields need nothing here."""
    types = get_type_hints(cls)
    drawn = {field.name: values(types[field.name]) for field in fields(cls)}
    return st.builds(cls, **(drawn | known))


WATCH = nouns(Watch)
END = nouns(End)
# A record's status is that of its end.
RESULT = nouns(Result).map(lambda made: change(made, status=made.end.status.value))
# A delivery is in the partition of its operation.
DELIVERY = nouns(Delivery).map(
    lambda made: replace(made, key=Key(made.operation.partition, made.key.row))
)
ENTRY = nouns(TimelineEntry, registered_at=INSTANTS.filter(lambda instant: instant.year >= 1970))
UNSUCCESSFUL_ENTRY = st.builds(
    lambda entry, status: UnsuccessfulEntry(replace(entry, status=status.value)),
    ENTRY,
    st.sampled_from(FinalStatus),
)
SETTLED_ENTRY = nouns(
    SettledEntry,
    delivery_key=KEYS.map(lambda key: f"{key.row}~{'f' * 64}~12"),
    settled_at=INSTANTS.filter(lambda instant: instant.year >= 1970),
    state=st.sampled_from([DeliveryState.DELIVERED, DeliveryState.ABANDONED]),
)
REJECTION = nouns(Rejection, body_sha256=st.binary().map(lambda body: sha256(body).hexdigest()))
HOST = nouns(HostCircuit, name=st.from_regex(r"[a-z0-9.-]{1,253}:[0-9]{1,5}", fullmatch=True))


def stored(entity: Entity) -> Entity:
    """Return an entity as the adapter reads what it has written."""
    return decode_entity(encode_entity(entity))


@cases(
    "codec, nouns",
    {
        "watch": (WATCHES, WATCH),
        "result": (RESULTS, RESULT),
        "pending delivery": (OUTBOX, DELIVERY),
        "delivery": (DELIVERIES, DELIVERY),
        "timeline entry": (TIMELINE, ENTRY),
        "unsuccessful entry": (UNSUCCESSFUL, UNSUCCESSFUL_ENTRY),
        "settled entry": (SETTLED, SETTLED_ENTRY),
        "rejection": (REJECTIONS, REJECTION),
        "host": (HOSTS, HOST),
    },
)
@given(st.data())
def test_noun_survives_its_row(
    codec: Codec[Any], nouns: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    noun = data.draw(nouns)
    entity = codec.encode(noun)
    back = codec.decode(stored(entity))
    assert back == noun
    assert codec.encode(back) == entity
    for name, value in entity.items():
        assert type(value) in (str, int, float, bool, datetime), (name, value)
        assert name in ("PartitionKey", "RowKey") or name[0].islower()
    assert Key(entity["PartitionKey"], entity["RowKey"]) == noun.key
    check_row(codec, noun)


# --- the columns that users read


def test_result_has_the_contracts_columns() -> None:
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
    assert RESULTS.encode(value) == {
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
        "round": 1,
        "earlierEnds": "[]",
    }


def test_watch_has_columns_of_its_own() -> None:
    entity = WATCHES.encode(watch(status="InProgress", due_at=at(5), seq=3))
    assert (entity["status"], entity["dueAt"], entity["seq"]) == ("InProgress", at(5), 3)
    assert not {"endTime", "finishedAt", "truncated"} & entity.keys()


def test_watch_keeps_arms_status_beside_its_end() -> None:
    value = watch(status="InProgress", end=end(FinalStatus.TIMED_OUT, result='{"a":1}'))
    entity = WATCHES.encode(value)
    assert entity["status"] == "InProgress"
    assert entity["resultJson"] == '{"a":1}'
    assert WATCHES.decode(entity) == value


@given(WATCH, END)
def test_result_repeats_the_watchs_facts(value: Watch, kept: End) -> None:
    watched = WATCHES.encode(value)
    ended = RESULTS.encode(Result(facts=value.facts, end=kept))
    facts = RESULTS.encode(Result(facts=value.facts, end=end())).keys() - {
        "status", "finishedAt", "truncated", "durationSeconds", "earlierEnds",
    }  # fmt: skip
    assert {name: watched.get(name) for name in facts} == {name: ended.get(name) for name in facts}
    assert ended["status"] == kept.status


def test_delivery_has_the_contracts_columns() -> None:
    attempt = attempt_of(answer(b"busy", 503), NOW, 0.12345)
    entity = OUTBOX.encode(
        delivery(attempts=1, attempt_log=(attempt,), last_error="503 busy", seq=2)
    )
    assert entity == {
        "PartitionKey": SUBSCRIPTION,
        "RowKey": f"{KEY.row}~{sha256(HOOK.encode()).hexdigest()[:16]}",
        "operationKey": KEY.row,
        "round": 1,
        "deliveryId": entity["deliveryId"],
        "callbackUrl": HOOK,
        "state": "pending",
        "attempts": 1,
        "roundAttempts": 0,
        "seq": 2,
        "far": False,
        "lastError": "503 busy",
        "startedAt": NOW,
        "nextAttemptAt": NOW,
        "attemptLog": '[{"at":"2026-11-23T03:05:40Z","duration":0.123,"statusCode":503,'
        '"layer":"http","error":"503 busy"}]',
    }


def test_full_attempt_log_fits_its_property() -> None:
    attempt = Attempt(at=NOW, duration=9.999, status_code=500, layer="http", error='"\\' * 256)
    entity = OUTBOX.encode(delivery(attempt_log=(attempt,) * 20))
    assert utf16_length(entity["attemptLog"]) <= MAX_PROPERTY


def test_rejection_is_keyed_by_date_and_body() -> None:
    local = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    value = Rejection(
        reason=Reason.EMPTY,
        detail="",
        body="",
        body_sha256=sha256(b"x").hexdigest(),
        received_at=NOW,
    )
    assert value.key == Key("2026-11-23", sha256(b"x").hexdigest())
    assert replace(value, received_at=local).key.partition == "2025-12-31"


# --- tables


def test_tables_have_names_that_azure_takes() -> None:
    assert len(set(TABLES)) == len(TABLES)
    assert all(name.isascii() and name.isalpha() and name.islower() for name in TABLES)


@cases("codec, noun", {"watch": (WATCHES, watch()), "delivery": (OUTBOX, delivery())})
def test_live_row_has_a_due_column(codec: Codec[Any], noun: Any) -> None:
    entity = codec.encode(noun)
    assert entity[codec.due] == NOW


def test_indexes_share_the_timelines_table() -> None:
    """Each noun has its own partitions, so that no reader takes one for another."""
    partitions = ["2026-11-23", "2026-11-23~Failed", "2026-11-23~delivered", "summary"]
    assert {codec.table for codec in (UNSUCCESSFUL, SETTLED)} == {TIMELINE.table}
    assert [TIMELINE.has(name) for name in partitions] == [True, False, False, False]
    assert [UNSUCCESSFUL.has(name) for name in partitions] == [False, True, False, False]
    assert [SETTLED.has(name) for name in partitions] == [False, False, True, False]
