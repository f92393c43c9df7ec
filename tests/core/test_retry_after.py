"""`Retry-After` twice or as a list: the longest wait that can be read counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.times import parse_retry_after

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("4, 4", 4),
        ("4,9", 9),
        ("9, 4", 9),
        ("4, soon", 4),
        ("soon, 4", 4),
        (", 4,", 4),
        ("0, 4", 4),
        ("-9, 4", 4),
        ("Thu, 26 Nov 2026 12:01:00 GMT", 60),
        ("Thursday, 26-Nov-26 12:01:00 GMT", 60),
        ("Thu Nov 26 12:01:00 2026", 60),
        ("Thu, 26 Nov 2026 12:01:00 GMT, 30", 60),
        ("90, Thu, 26 Nov 2026 12:01:00 GMT", 90),
        ("Thu, 26 Nov 2026 12:01:00 GMT, Thu, 26 Nov 2026 12:02:00 GMT", 120),
        ("Thu, 26 Nov 2026 11:59:00 GMT, 30", 30),
        ("Thu, 26 Nov 2026 11:59:00 GMT, 0", None),
        ("Fri, 31 Dec 9999 23:59:59 -0500", None),
        ("Fri, 31 Dec 9999 23:59:59 -0500, 4", 4),
        ("Thu, 26 Nov 2026 12:01:00 +9999", None),
        ("soon, later", None),
        (",", None),
        ("", None),
    ],
)
def test_longest_wait_of_list_counts(value: str, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert parse_retry_after({"retry-after": value}, NOW) == expected


def test_date_counts_from_date_of_answer() -> None:
    headers = {
        "retry-after": "5, Thu, 26 Nov 2026 12:01:00 GMT",
        "date": "Thu, 26 Nov 2026 12:00:50 GMT",
    }
    assert parse_retry_after(headers, NOW) == timedelta(seconds=10)


@pytest.mark.parametrize("name", ["retry-after-ms", "x-ms-retry-after-ms"])
def test_longest_milliseconds_win_over_seconds(name: str) -> None:
    headers = {name: "1500, 2500", "retry-after": "9"}
    assert parse_retry_after(headers, NOW) == timedelta(seconds=2.5)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=5))
def test_order_of_list_does_not_matter(waits: list[int]) -> None:
    headers = {"retry-after": ", ".join(map(str, waits))}
    assert parse_retry_after(headers, NOW) == timedelta(seconds=max(waits))
