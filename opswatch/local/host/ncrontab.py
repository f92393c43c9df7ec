"""NCRONTAB expressions as the Functions host reads them, with the library NCrontab.

croniter finds the due times; the fields are read here, because it accepts more than the host does:
7 for Sunday, `?`, `L`, `#`, `@daily`. And it reads a reversed range such as FRI-MON as one that
goes round, where NCrontab exchanges its ends.
https://github.com/atifaziz/NCrontab CrontabFieldImpl, CrontabField
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from croniter import CroniterBadDateError, croniter

Schedule = Callable[[datetime], datetime]  # the first due time after the given instant

_ELEMENT = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()  # of its values; any beginning of a name is accepted

    def parse(self, text: str) -> list[int]:
        """Return the values that `text` allows; raise ValueError."""
        values: set[int] = set()
        for element in text.split(","):
            match = _ELEMENT.fullmatch(element)
            if not match:
                raise ValueError(f"{element!r} is not a value of the field {self.name}")
            first, last, step = match.groups()
            start = self._value(first) if first else self.least
            end = self.most if step or not first else start
            ends = sorted((start, self._value(last) if last else end))
            values.update(range(ends[0], ends[1] + 1, max(int(step or 1), 1)))
        return sorted(values)

    def _value(self, text: str) -> int:
        for number, name in enumerate(self.names, self.least):
            if name.startswith(text.lower()):
                return number
        if not text.isdecimal() or not self.least <= int(text) <= self.most:
            limits = f"between {self.least} and {self.most}"
            raise ValueError(f"{text!r} is not {limits}, as the field {self.name} must be")
        return int(text)


_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


def parse_ncrontab(text: str) -> Schedule:
    """Read an expression of six fields, or of five without the seconds.

    Unlike in cron, a day must match both the day of the month and the day of the week.
    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions

    Raises:
        ValueError: the host would refuse it, or it is never due.
    """
    parts = [part for part in text.split(" ") if part]
    if len(parts) == len(_FIELDS) - 1:
        parts.insert(0, "0")
    if len(parts) != len(_FIELDS):
        raise ValueError(f"{text!r} is not an NCRONTAB expression of six fields")
    try:
        values = [field.parse(part) for field, part in zip(_FIELDS, parts, strict=True)]
    except ValueError as error:
        raise ValueError(f"{text!r} is not an NCRONTAB expression: {error}") from error
    expression = " ".join(",".join(map(str, numbers)) for numbers in values)

    def next_after(after: datetime) -> datetime:
        iter_due_at = croniter(expression, after, second_at_beginning=True, day_or=False)
        due_at: datetime = iter_due_at.get_next(datetime)
        return due_at

    try:
        next_after(_LEAP_YEAR)
    except CroniterBadDateError:
        raise ValueError(f"{text!r} is never due") from None
    return next_after
