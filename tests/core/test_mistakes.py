"""What a mistake in the settings stops, and which names are misspellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.errors import ConfigError
from opswatch.core.mistakes import Mistake, Part, meant_setting, problems_of, require

POLL = Mistake("POLL: wrong", frozenset({Part.POLLS}))
BOTH = Mistake("ARM: wrong", frozenset({Part.POLLS, Part.POSTS}))
STORAGE = Mistake("STORAGE: wrong", frozenset({Part.STORAGE}))
MISSING = Mistake("SECRET: unresolved", frozenset())
KNOWN = ["OPSWATCH_POLL_MIN", "OPSWATCH_POLL_MAX", "OPSWATCH_CLOUD"]


def test_mistake_stops_its_parts_only() -> None:
    mistakes = (POLL, BOTH, MISSING)
    with pytest.raises(ConfigError) as raised:
        require(mistakes, Part.POLLS)
    assert raised.value.problems == ["POLL: wrong", "ARM: wrong"]
    for part in (Part.DELIVERIES, Part.PURGE):
        require(mistakes, part)
    assert problems_of(mistakes, Part.POSTS) == ["ARM: wrong"]
    assert problems_of(mistakes, *Part) == ["POLL: wrong", "ARM: wrong"]


@pytest.mark.parametrize("part", Part)
def test_storage_stops_everything(part: Part) -> None:
    with pytest.raises(ConfigError, match="STORAGE"):
        require([STORAGE], part)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OPSWATCH_POLL_MIN", None),  # it is known
        ("OPSWATCH_POLLMIN", "OPSWATCH_POLL_MIN"),
        ("OPSWATCH_POLL_MAXI", "OPSWATCH_POLL_MAX"),
        ("OPSWATCH_CLUOD", "OPSWATCH_CLOUD"),
        ("OPSWATCH_CLOUDS", "OPSWATCH_CLOUD"),
        ("OPSWATCH_COLOR", None),
        ("OPSWATCH_URL", None),
        ("OPSWATCH_", None),
    ],
)
def test_misspelling_is_within_two_letters(name: str, meant: str | None) -> None:
    assert meant_setting(name, KNOWN) == meant


@given(st.sampled_from(KNOWN), st.data())
def test_one_or_two_changed_letters_are_a_misspelling(known: str, data: st.DataObject) -> None:
    name = known
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(name) - 1))
        letter = data.draw(st.sampled_from(["", "X", "XX"]))
        name = name[:at] + letter[:1] + name[at + (len(letter) < 2) :]
    meant = meant_setting(name, KNOWN)
    assert meant is not None or name in KNOWN
