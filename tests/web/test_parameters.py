"""What the parameters of a query mean."""

from datetime import UTC, datetime

import pytest

from opswatch.web.parameters import (
    DELIVERY_STATES,
    KIND,
    LONGEST_TEXT,
    SINCE,
    VERSION,
    read_instant,
    read_query,
)
from opswatch.web.problems import ProblemError
from tests.support.builders import NOW, at
from tests.support.cases import cases

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@cases(
    "text, instant",
    {
        "seconds": ("30s", at(-30)),
        "minutes": ("5m", at(-300)),
        "hours": ("1h", at(-3600)),
        "days": ("2d", at(-172_800)),
        "weeks": ("1w", at(-604_800)),
        "ISO 8601": ("PT1H30M", at(-5400)),
        "before 1970": ("100000d", EARLIEST),
        "before any date": ("999999w", EARLIEST),
        "UTC": ("2026-11-23T03:05:40Z", NOW),
        "UTC in small letters": ("2026-11-23t03:05:40z", NOW),
        "no offset": ("2026-11-23T03:05:40", NOW),
        "an offset": ("2026-11-23T05:05:40+02:00", NOW),
        "an offset whose + is a space": ("2026-11-23T05:05:40 02:00", NOW),
        "a date": ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        "the first year": ("0001-01-01T00:00:00Z", EARLIEST),
        "the last year": ("9999-12-31T23:59:59Z", datetime(9000, 1, 1, tzinfo=UTC)),
    },
)
def test_instant_is_read(text: str, instant: datetime) -> None:
    found = read_instant(text, NOW)
    assert (found, found.tzinfo) == (instant, UTC)


def test_values_are_read() -> None:
    longest = "k" * LONGEST_TEXT
    query = [("kind", longest), ("state", "Pending,ABANDONED,pending"), ("since", "1h")]
    assert read_query(query, (KIND, DELIVERY_STATES, SINCE), NOW) == {
        "kind": (longest,),
        "state": ("pending", "abandoned"),
        "since": at(-3600),
    }


def test_other_version_has_its_own_code() -> None:
    with pytest.raises(ProblemError) as caught:
        read_query([("api-version", "2020-01-01")], (VERSION,), NOW)
    assert caught.value.response.status == 400
    assert b"UnsupportedApiVersion" in caught.value.response.body
