"""Kinds: their keys, what an ended watch adds to them, and rows that merge."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opswatch.core.durations import BINS
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.kinds import (
    BINS_VERSION,
    MOST_KINDS,
    MOST_RECENT,
    KindDurations,
    Sample,
    count_sample,
    duration_sample,
    kind_key,
    least_used,
    merge_durations,
    with_percentiles,
)
from opswatch.core.texts import to_json
from opswatch.core.watches import End, FinalStatus, Watch
from opswatch.rows.tables import DURATIONS
from tests.support.builders import ID, NOW, at, operation, watch

KIND = Key("microsoft.cache", "redisenterprise~create")
PLAIN = Key("microsoft.cache", "~operationsstatus")


def sample(seconds: float, when: datetime = NOW, kind: Key = KIND) -> Sample:
    return Sample(kind=kind, low=seconds, high=seconds, status="Succeeded", at=when)


def known(*durations: float, when: datetime = NOW) -> KindDurations:
    counted: KindDurations | None = None
    for seconds in durations:
        counted = count_sample(counted, sample(seconds, when))
    assert counted is not None
    return counted


# --- keys


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (None, PLAIN),
        ("", PLAIN),
        ("redisEnterprise/create", KIND),
        ("REDISENTERPRISE/CREATE", KIND),
        (f"redisEnterprise/{ID}", PLAIN),
        (f"redisEnterprise/{ID.upper()}", PLAIN),
        ("x/0b1f6471-1bf0-4dda-aec3-cb9272f09590/y", PLAIN),
        ("databases/users/create", Key("microsoft.cache", "databases~users~create")),
    ],
)  # fmt: skip
def test_kind_names_a_row(kind: str | None, key: Key) -> None:
    assert kind_key(operation(), kind) == key


@pytest.mark.parametrize(
    "kind", ["a b", "a~b", "/operationsstatus", "a//b", "a/", "ä", "x" * 129, "a#b", "\ud800"]
)
def test_unfit_kind_is_hashed(kind: str) -> None:
    key = kind_key(operation(), kind)
    assert key.partition == "microsoft.cache"
    assert len(key.row) == 32
    assert set(key.row) <= set("0123456789abcdef")


def test_kind_naming_the_operations_id_is_ignored() -> None:
    base = "https://management.azure.com/subscriptions/s/providers/Microsoft.X/locations/l"
    named = operation_from_url(f"{base}/operations/Job-7")
    assert kind_key(named, "things/job-7") == Key("microsoft.x", "~operations")


# --- samples


def ended(
    status: str = "Succeeded", seen: float = 100, end_time: datetime | None = None, **known: Any
) -> Watch:
    end = End(status=FinalStatus(status), finished_at=at(seen), end_time=end_time)
    return watch(end=end, **known)


def interval(value: Watch) -> tuple[float, float] | None:
    found = duration_sample(value)
    return (found.low, found.high) if found else None


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Canceled"])
def test_arms_times_are_exact(status: str) -> None:
    value = ended(status, start_time=at(-5), end_time=at(90), last_running_at=at(80))
    found = duration_sample(value)
    assert found == Sample(kind=PLAIN, low=95, high=95, status=status, at=at(100))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({"last_running_at": at(70)}, (70, 100), id="no times"),
        pytest.param({"last_running_at": at(70), "start_time": at(-5)}, (75, 105), id="no end"),
        pytest.param(
            {"last_running_at": at(70), "start_time": at(-5), "end_time": at(-4)},
            (75, 105),
            id="an end before the last poll that saw it running",
        ),
        pytest.param(
            {"last_running_at": at(70), "start_time": NOW, "end_time": at(4000)},
            (70, 100),
            id="an end in the future",
        ),
        pytest.param({"last_running_at": at(70), "end_time": at(80)}, (70, 100), id="no start"),
        pytest.param(
            {"last_running_at": at(70), "start_time": at(-9e6), "end_time": at(80)},
            (70, 100),
            id="a start long before the registration",
        ),
        pytest.param({"seen": 60.0}, (0, 60), id="ended at the first poll"),
        pytest.param({"seen": 61.0}, None, id="ended at a late first poll"),
        pytest.param(
            {"seen": 900.0, "start_time": NOW, "end_time": at(3)}, (3, 3), id="but with times"
        ),
        pytest.param({"seen": 5.0, "start_time": at(-100)}, None, id="registered late, no end"),
    ],
)  # fmt: skip
def test_interval_is_what_polls_have_shown(
    known: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    assert interval(ended(**known)) == expected


@pytest.mark.parametrize("status", ["Lost", "TimedOut", "Stopped"])
def test_own_ends_teach_nothing(status: str) -> None:
    assert duration_sample(ended(status, last_running_at=at(70))) is None


def test_running_watch_teaches_nothing() -> None:
    assert duration_sample(watch(last_running_at=at(70))) is None


# --- rows


def test_samples_are_counted_with_the_newest_listed() -> None:
    counted = None
    for i in range(30):
        counted = count_sample(counted, sample(10.0 + i, at(i)))
    assert counted is not None
    assert counted.operations == 30
    assert len(counted.recent) == MOST_RECENT
    assert counted.recent[0] == (39.0, "Succeeded", at(29))
    assert counted.updated_at == at(29)
    assert sum(counted.history(NOW).counts(NOW)) == pytest.approx(30, rel=1e-3)


def test_parts_merge_in_either_order() -> None:
    one, other = known(10, 20), known(300, when=NOW + timedelta(days=90))
    merged = merge_durations(one, other, NOW), merge_durations(other, one, NOW)
    assert merged[0] == merged[1]
    assert merged[0].operations == 3
    assert sum(merged[0].history(NOW).counts(NOW)) == pytest.approx(4, rel=1e-3)


def test_percentiles_are_of_the_distribution() -> None:
    row = with_percentiles(known(*[100.0] * 50), NOW)
    assert row.p50 is not None
    assert row.p90 is not None
    assert row.p99 is not None
    assert 85 < row.p50 < 115 < row.p90 < row.p99


@pytest.mark.parametrize(
    "weights",
    [
        ((-1, 1.0),),
        ((len(BINS), 1.0),),
        ((3, -1.0),),
        ((3, float("nan")),),
        ((3, float("inf")),),
        ((3, 1e300),),
    ],
)
def test_weights_without_sense_count_as_none(weights: tuple[tuple[int, float], ...]) -> None:
    corrupted = replace(known(10), weights=weights)
    assert sum(corrupted.history(NOW).weights) == 0
    merged = merge_durations(corrupted, known(50), NOW)
    assert sum(merged.history(NOW).counts(NOW)) == pytest.approx(1, rel=1e-3)


def test_weights_of_other_bins_are_not_read() -> None:
    assert sum(replace(known(10), bins=BINS_VERSION + 1).history(NOW).weights) == 0


def test_least_used_kinds_beyond_the_limit_go() -> None:
    used = [replace(known(10, 20), kind=f"used{i}") for i in range(MOST_KINDS)]
    old = replace(known(10, when=NOW - timedelta(days=400)), kind="old")
    new = replace(known(10), kind="new")
    assert [gone.kind for gone in least_used([*used, old, new], NOW)] == ["old", "new"]
    assert least_used(used, NOW) == []


def test_row_keeps_everything_within_two_kilobytes() -> None:
    counted = None
    for i in range(300):
        now = datetime(2031, 5, 1, tzinfo=UTC) + timedelta(days=i)
        counted = count_sample(counted, sample(2.0 * 1.03**i, now))  # to four hours
    assert counted is not None
    row = with_percentiles(counted, NOW)
    entity = DURATIONS.encode(row)
    assert entity["PartitionKey"] == "microsoft.cache"
    assert entity["RowKey"] == "redisenterprise~create"
    assert DURATIONS.decode(entity) == row
    assert len(to_json(entity)) <= 2048
