from datetime import UTC, datetime, timedelta, timezone

import pytest

from opswatch.core.times import parse_instant
from opswatch.local.simulator import RetryAfter, TimestampFormat, WaitForm

# The value of each format is this instant; Microsoft's has milliseconds.
INSTANT = datetime(2024, 10, 22, 4, 55, 18, 123456, tzinfo=UTC)


@pytest.mark.parametrize("form", TimestampFormat)
def test_timestamp_matches_format_and_is_readable(form: TimestampFormat) -> None:
    assert form.write(INSTANT) == form.value
    read = parse_instant(form.write(INSTANT))
    assert read is not None
    assert abs(read - INSTANT) < timedelta(seconds=1)


def test_timestamp_is_converted_to_utc() -> None:
    elsewhere = INSTANT.astimezone(timezone(timedelta(hours=9)))
    assert TimestampFormat.NONE_Z.write(elsewhere) == "2024-10-22T04:55:18Z"


@pytest.mark.parametrize(
    ("form", "header"),
    [
        (WaitForm.SECONDS, ("Retry-After", "90")),
        (WaitForm.DATE, ("Retry-After", "Tue, 22 Oct 2024 04:56:48 GMT")),
        (WaitForm.MILLISECONDS, ("retry-after-ms", "90500")),
        (WaitForm.X_MILLISECONDS, ("x-ms-retry-after-ms", "90500")),
    ],
)
def test_wait_is_written_in_every_form(form: WaitForm, header: tuple[str, str]) -> None:
    assert RetryAfter(wait=timedelta(seconds=90.5), form=form).header(INSTANT) == header
