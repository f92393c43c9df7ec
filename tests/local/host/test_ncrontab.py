from datetime import UTC, datetime

import pytest

from opswatch.local.host.ncrontab import parse_ncrontab

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)  # a Monday


def due_times(text: str, count: int) -> list[str]:
    next_after, due_at, times = parse_ncrontab(text), NOON, []
    for _ in range(count):
        due_at = next_after(due_at)
        times.append(due_at.strftime("%Y-%m-%d %H:%M:%S"))
    return times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Seen on the host: day and day of week both have to match.
        (
            "0 0 3 1 * 1",
            ["2027-02-01 03:00:00", "2027-03-01 03:00:00", "2027-11-01 03:00:00",
             "2028-05-01 03:00:00"],
        ),
        (
            "0 5/15 * * * *",
            ["2026-11-23 12:05:00", "2026-11-23 12:20:00", "2026-11-23 12:35:00",
             "2026-11-23 12:50:00", "2026-11-23 13:05:00"],
        ),
        ("0 0-20/10 * * * *", ["2026-11-23 12:10:00", "2026-11-23 12:20:00"]),
        ("*/20,7 0 0 1 1 *", ["2027-01-01 00:00:00", "2027-01-01 00:00:07"]),
        ("30 9 * * Sun", ["2026-11-29 09:30:00"]),
        ("0 0 9 * nov 0", ["2026-11-29 09:00:00", "2027-11-07 09:00:00"]),
        ("0 0 9 * * tuesd-TH", ["2026-11-24 09:00:00", "2026-11-25 09:00:00",
                                "2026-11-26 09:00:00", "2026-12-01 09:00:00"]),
        # NCrontab exchanges the ends of a reversed range: Monday to Friday.
        ("0 0 9 * * FRI-MON", ["2026-11-24 09:00:00", "2026-11-25 09:00:00",
                               "2026-11-26 09:00:00", "2026-11-27 09:00:00",
                               "2026-11-30 09:00:00"]),
        ("0 0 9 * M *", ["2027-03-01 09:00:00"]),  # the first month that begins so
        ("*/0 0 0 1 1 *", ["2027-01-01 00:00:00", "2027-01-01 00:00:01"]),
        ("0  0 0 31 4,5 *", ["2027-05-31 00:00:00"]),
    ],
)  # fmt: skip
def test_due_times_are_those_of_the_host(text: str, expected: list[str]) -> None:
    assert due_times(text, len(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0 0 0 * * 7", "0 0 0 ? * *", "0 0 0 L * *", "0 0 0 * * 5#1", "0 0 0 * * L5",
        "60 * * * * *", "0 60 * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 32 * *",
        "0 0 0 * 13 *", "0 0 0 * * 1-7", "@daily", "", "* * * *", "* * * * * * *",
        "0\t* * * * *", "1,,2 * * * * *", ",1 * * * * *", "*-5 * * * * *", "-5 * * * * *",
        "5- * * * * *", "*/ * * * * *", "/5 * * * * *", "*/x * * * * *", "1-2-3 * * * * *",
        "5x * * * * *", "0 0 0 * Foo *", "0 0 0 * * Mondays", "R * * * * *", "H * * * * *",
        "0 0 0 15W * *", "0 mon * * * *", "\u0665 * * * * *",
    ],
)  # fmt: skip
def test_what_the_host_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an NCRONTAB expression") as caught:
        parse_ncrontab(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0 0 0 30 2 *", "0 0 0 31 4,6,9,11 *"])
def test_schedule_that_is_never_due_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text.replace('*', '.')}' is never due"):
        parse_ncrontab(text)


def test_leap_day_is_due() -> None:
    assert due_times("0 0 0 29 2 *", 2) == ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]
