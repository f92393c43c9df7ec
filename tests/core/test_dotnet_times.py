from datetime import UTC, datetime

import pytest

from opswatch.core.times import parse_instant

MORNING = datetime(2022, 9, 6, 6, 35, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("9/6/2022 6:35:25 AM", MORNING),
        ("9/6/2022 6:35:25\u202fam", MORNING),
        ("9/6/2022 6:35:25.5 AM", MORNING.replace(microsecond=500_000)),
        ("9/6/2022 6:35 AM", MORNING.replace(second=0)),
        ("9/6/2022 6:35:25 PM", MORNING.replace(hour=18)),
        ("9/6/2022 12:00:00 AM", MORNING.replace(hour=0, minute=0, second=0)),
        ("9/6/2022 12:00:00 PM", MORNING.replace(hour=12, minute=0, second=0)),
        ("09/06/2022 06:35:25", MORNING),
        ("09/06/2022 06:35:25 +00:00", MORNING),
        ("9/6/2022 8:35:25 AM +02:00", MORNING),
        ("9/6/2022 6:35:25 AM UTC", MORNING),
    ],
)
def test_dotnet_text_is_an_instant(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    ["9/6/2022 13:00:00 PM", "13/6/2022 1:00:00", "2/30/2022 1:00:00 AM", "9/6/2022 6:35:25 AM X"],
)
def test_impossible_dotnet_text_is_none(text: str) -> None:
    assert parse_instant(text) is None
