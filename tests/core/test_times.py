"""Durations and instants as texts; `test_arm` has the forms that providers send."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.times import (
    format_instant,
    parse_duration,
    parse_instant,
    parse_retry_after,
)
from tests.support.builders import NOW

INSTANTS = st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 30))  # noqa: DTZ001 - hypothesis asks for it


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("PT30S", timedelta(seconds=30)),
        ("PT6H", timedelta(hours=6)),
        ("P30D", timedelta(days=30)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT12H30M5.5S", timedelta(days=1, hours=12, minutes=30, seconds=5.5)),
        ("PT1,5H", timedelta(minutes=90)),
        ("P0D", timedelta(0)),
        ("PT0S", timedelta(0)),
        (" PT1S\n", timedelta(seconds=1)),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("P1Y", None),
        ("P1M", None),
        ("PT1D", None),
        ("1D", None),
        ("-P1D", None),
        ("P-1D", None),
        ("P1.D", None),
        ("P9999999999D", None),
        ("P999999999W", None),
        ("P\u0661D", None),
        ("", None),
    ],
)
def test_duration_is_read(text: str, span: timedelta | None) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1601-01-01T00:00:00Z", datetime(1601, 1, 1, tzinfo=UTC)),
        ("1600-12-31T23:59:59Z", None),
        ("1601-01-01T00:00:00+01:00", None),
    ],
)
def test_oldest_instant_is_a_tables(text: str, instant: datetime | None) -> None:
    assert parse_instant(text) == instant


@given(INSTANTS, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
))  # fmt: skip
def test_instant_survives_its_text(naive: datetime, zone: timezone) -> None:
    instant = naive.replace(tzinfo=UTC).astimezone(zone) if naive.year > 1601 else NOW
    text = format_instant(instant)
    assert text.endswith("Z")
    assert parse_instant(text) == instant


@given(
    st.text()
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(\.[0-9]+)? ?([+-][0-9:]+|Z)?")
)
def test_any_text_is_an_instant_or_none(text: str) -> None:
    instant = parse_instant(text)
    assert instant is None or instant.tzinfo is UTC


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_any_retry_after_is_positive(headers: dict[str, str]) -> None:
    wait = parse_retry_after(headers, NOW)
    assert wait is None or wait > timedelta(0)
