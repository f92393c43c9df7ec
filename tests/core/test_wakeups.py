"""Wake-ups: which of them are for a row as it is now, and when they are tried again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opswatch.core.wakeups import OVERDUE_GRACE, Fence, WakeUp, compare, is_etag, retry_delay
from tests.support.builders import KEY, NOW, at
from tests.support.cases import cases

WAKE = WakeUp(key=KEY, seq=3, due_at=NOW)


@cases(
    "seq, due_at, expected",
    {
        "the row's": (3, NOW, Fence.CURRENT),
        "older": (4, NOW, Fence.STALE),
        "much older": (99, NOW, Fence.STALE),
        "newer": (2, NOW, Fence.EARLY),
        "newer and due otherwise": (2, at(1), Fence.EARLY),
        "of a worker that lost": (3, at(0.001), Fence.STALE),
        "of a worker that lost by less": (3, at(-0.001), Fence.STALE),
        "of a row that is never due": (3, None, Fence.STALE),
    },
)
def test_seq_and_due_time_are_compared(seq: int, due_at: datetime | None, expected: Fence) -> None:
    assert compare(WAKE, seq, due_at) is expected


@pytest.mark.parametrize("due_at", [NOW, at(9), None])
def test_wake_up_without_due_time_fits_any(due_at: datetime | None) -> None:
    bare = replace(WAKE, due_at=None)
    assert compare(bare, 3, due_at) is Fence.CURRENT
    assert compare(bare, 4, due_at) is Fence.STALE
    assert compare(bare, 2, due_at) is Fence.EARLY


@cases(
    "overdue, expected",
    {
        "due now": (0, 5),
        "a few seconds": (5, 5),
        "as long as before": (20, 20),
        "at most a minute": (100, 60),
        "just within the grace": (119, 60),
        "left to the repair": (120, None),
        "hours": (9999, None),
        "a clock that is fast": (-59, 5),
        "forged, for later": (-60, None),
        "forged, for years later": (-(10**9), None),
    },
)
def test_failed_wake_up_is_tried_until_the_grace(overdue: float, expected: int | None) -> None:
    delay = retry_delay(WAKE, at(overdue))
    assert delay == (None if expected is None else timedelta(seconds=expected))


def test_retries_are_few_and_end() -> None:
    now, count = NOW, 0
    while (delay := retry_delay(WAKE, now)) is not None:
        now, count = now + delay, count + 1
    assert count == 6
    assert now - NOW >= OVERDUE_GRACE


def test_wake_up_without_due_time_is_not_tried_again() -> None:
    assert retry_delay(replace(WAKE, due_at=None), NOW) is None


@pytest.mark.parametrize("year", [1, 9999])
def test_any_forged_due_time_is_survived(year: int) -> None:
    forged = replace(WAKE, due_at=datetime(year, 12, 31, tzinfo=UTC))
    assert retry_delay(forged, NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("W/\"datetime'2026-11-23T03%3A05%3A40Z'\"", True),
        ('"1"', True),
        ("*", False),
        ('W/"*', False),
        ("", False),
        ('W/""', False),
        ('"1", "2"', False),
        ('"1"\r\nX: y', False),
        ('"1\r\nX: y"', False),
        ('"1\nX"', False),
        ('"1 2"', False),
        ('"\u00e9"', False),
    ],
)
def test_only_one_version_is_an_etag(text: str, expected: bool) -> None:
    assert is_etag(text) is expected
