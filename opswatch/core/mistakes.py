"""Mistakes in the settings, and what each of them stops: the rest of the app goes on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from opswatch.core.errors import ConfigError

_MISSPELLED_BY = 2  # letters


class Part(StrEnum):
    """A part of the app that some settings are for."""

    STORAGE = "storage"  # without it nothing goes on
    POSTS = "posts"  # registering what was posted
    POLLS = "polls"
    DELIVERIES = "deliveries"
    PURGE = "purge"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong setting."""

    text: str  # begins with the setting's name, and quotes no secret
    stops: frozenset[Part]  # empty if the setting counts as missing


def problems_of(mistakes: Iterable[Mistake], *parts: Part) -> list[str]:
    """Return the texts of the mistakes that stop one of `parts`."""
    return [mistake.text for mistake in mistakes if not mistake.stops.isdisjoint(parts)]


def require(mistakes: Iterable[Mistake], part: Part) -> None:
    """Raise `ConfigError` if a mistake stops `part`."""
    if problems := problems_of(mistakes, Part.STORAGE, part):
        raise ConfigError(problems)


def meant_setting(name: str, known: Iterable[str]) -> str | None:
    """Return the known setting of which `name` is a misspelling: within two letters; else None."""
    distances = {setting: _distance(name, setting) for setting in known}
    nearest = min(distances, key=distances.__getitem__)
    return nearest if 0 < distances[nearest] <= _MISSPELLED_BY else None


def _distance(one: str, other: str) -> int:
    """Return how many letters to insert, remove or replace (Levenshtein)."""
    if abs(len(one) - len(other)) > _MISSPELLED_BY:
        return _MISSPELLED_BY + 1
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, its in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (letter != its))
    return row[-1]
