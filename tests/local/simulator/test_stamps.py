from datetime import UTC, datetime, timedelta, timezone

import pytest

from opswatch.core.times import parse_instant
from opswatch.local.simulator import RetryAfter, Stamp, WaitForm
from opswatch.local.simulator.stamps import write_stamp

# Each form is named by what it makes of this instant; Microsoft's has milliseconds.
INSTANT = datetime(2024, 10, 22, 4, 55, 18, 123456, tzinfo=UTC)


@pytest.mark.parametrize("form", Stamp)
def test_a_form_writes_what_its_value_shows(form: Stamp) -> None:
    assert write_stamp(form, INSTANT) == form.value


@pytest.mark.parametrize("form", Stamp)
def test_every_form_is_one_that_opswatch_reads(form: Stamp) -> None:
    read = parse_instant(write_stamp(form, INSTANT))
    assert read is not None
    assert abs(read - INSTANT) < timedelta(seconds=1)


def test_an_instant_of_another_zone_is_written_in_utc() -> None:
    elsewhere = INSTANT.astimezone(timezone(timedelta(hours=9)))
    assert write_stamp(Stamp.NONE_Z, elsewhere) == "2024-10-22T04:55:18Z"


@pytest.mark.parametrize(
    ("form", "header"),
    [
        (WaitForm.SECONDS, ("Retry-After", "90")),
        (WaitForm.DATE, ("Retry-After", "Tue, 22 Oct 2024 04:56:48 GMT")),
        (WaitForm.MILLISECONDS, ("retry-after-ms", "90500")),
        (WaitForm.X_MILLISECONDS, ("x-ms-retry-after-ms", "90500")),
    ],
)
def test_a_wait_is_asked_for_in_every_form(form: WaitForm, header: tuple[str, str]) -> None:
    assert RetryAfter(wait=timedelta(seconds=90.5), form=form).header(INSTANT) == header
