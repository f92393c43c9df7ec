"""Rows of the API as tables, JSON, CSV and names: what `--output`, `--time` and `--color` say."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import wraps
from math import floor
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from opswatch.cli.terminal import Main, print_json
from opswatch.core.texts import one_line
from opswatch.core.times import format_instant, parse_instant

_GAP = 2  # characters between columns
_UNLIMITED = 100_000
_SECOND = timedelta(seconds=1)
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_STYLES = {
    "Succeeded": "green",
    "delivered": "green",
    **dict.fromkeys(("Failed", "TimedOut", "Lost", "abandoned"), "red"),
}

Row = Mapping[str, Any]


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    WIDE = "wide"  # a table with more columns, as wide as it gets
    JSON = "json"
    JSONL = "jsonl"  # an object a line
    CSV = "csv"
    TSV = "tsv"  # without a header
    NAME = "name"  # what other commands take


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a list; JSON has all that the API returns."""

    name: str
    iso_name: str = ""  # of a column of ages, if it is printed as instants
    value: Callable[[Row], object]  # an instant as a `datetime`, to be shown as `--time` says
    data: Callable[[Row], object] | None = None  # of CSV and TSV, if people see another value
    is_wide: bool = False  # left out of `table`
    gives_way: bool = False  # cut if the terminal is too narrow


@dataclass(frozen=True, slots=True)
class Output:
    """How a command was told to print."""

    format: Format
    is_relative: bool | None  # None: in tables
    color: str  # auto, always, never

    @property
    def is_table(self) -> bool:
        """Whether people read it."""
        return self.format in (Format.TABLE, Format.WIDE)

    def console(self, width: int | None = None) -> Console:
        """Return a console that prints texts unchanged; in colour as `--color` and NO_COLOR say."""
        return Console(
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
            width=width,
            force_terminal=True if self.color == "always" else None,
            color_system=None if self.color == "never" else "auto",
        )

    @property
    def shows_ages(self) -> bool:
        """Whether instants are printed relative to now."""
        return self.is_table if self.is_relative is None else self.is_relative

    def instant(self, at: datetime | None, now: datetime) -> str:
        """Return an instant as `--time` says: `3m` (ago), `in 3m`, or RFC 3339."""
        if at is None:
            return ""
        return age(at, now) if self.shows_ages else format_instant(at.replace(microsecond=0))

    def when(self, at: datetime | None, now: datetime) -> str:
        """Return an instant in a sentence: as `instant`, with `ago`."""
        text = self.instant(at, now)
        return f"{text} ago" if text and self.shows_ages and not text.startswith("in ") else text

    def name_of(self, column: Column) -> str:
        """Return the name of a column."""
        return column.name if self.shows_ages else column.iso_name or column.name

    def print_rows(
        self, rows: Sequence[Row], columns: Sequence[Column], name: Callable[[Row], str]
    ) -> None:
        """Print a list; `name` is what other commands call a row."""
        now = datetime.now(UTC)

        def cells(row: Row, shown: Iterable[Column]) -> list[str]:
            return [self._cell(self._value(column, row), now) for column in shown]

        match self.format:
            case Format.JSON:
                print_json(list(rows))
            case Format.CSV:
                text = io.StringIO()
                writer = csv.writer(text, lineterminator="\n")
                writer.writerow([self.name_of(column) for column in columns])
                writer.writerows(cells(row, columns) for row in rows)
                click.echo(text.getvalue(), nl=False)
            case Format.TABLE | Format.WIDE:
                self._print_table(rows, columns, cells)
            case Format.JSONL | Format.TSV | Format.NAME:
                for row in rows:
                    self.print_line(row, columns, name)

    def print_line(self, row: Row, columns: Sequence[Column], name: Callable[[Row], str]) -> None:
        """Print one row in a line, in a format that has neither a header nor an end."""
        match self.format:
            case Format.JSONL | Format.JSON:
                print_json(row, indent=None)
            case Format.NAME:
                click.echo(name(row))
            case _:
                now = datetime.now(UTC)
                values = (self._value(column, row) for column in columns)
                click.echo("\t".join(self._cell(value, now) for value in values))

    def _print_table(
        self,
        rows: Sequence[Row],
        columns: Sequence[Column],
        cells: Callable[[Row, Iterable[Column]], list[str]],
    ) -> None:
        is_wide = self.format is Format.WIDE
        shown = [column for column in columns if is_wide or not column.is_wide]
        texts = [cells(row, shown) for row in rows]
        out = self.console(_UNLIMITED if is_wide else None)
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
        names = [self.name_of(column) for column in shown]
        widths = _widths(shown, [names, *texts], out.width)
        for name, width in zip(names, widths, strict=True):
            table.add_column(name.upper(), no_wrap=True, overflow="ellipsis", width=width)
        for row, text in zip(rows, texts, strict=True):
            status = str(row.get("status") or row.get("state") or "")
            table.add_row(*text, style=_STYLES.get(status, ""))
        with out.capture() as captured:
            out.print(table, soft_wrap=False)
        for line in captured.get().splitlines():
            click.echo(line.rstrip(), color=True)

    def _value(self, column: Column, row: Row) -> object:
        return (column.value if self.is_table else column.data or column.value)(row)

    def _cell(self, value: object, now: datetime) -> str:
        match value:
            case None:
                return ""
            case bool():
                return "yes" if value else "no"
            case datetime():
                return self.instant(value, now)
            case float():
                return f"{value:g}"
            case _:
                return one_line(str(value))


def _widths(columns: Sequence[Column], texts: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return the widths of columns: those that give way share what the others leave.

    Rich would narrow all of them alike.
    """
    widths = [max(cell_len(text[number]) for text in texts) for number in range(len(columns))]
    giving = sorted(
        (at for at, column in enumerate(columns) if column.gives_way), key=widths.__getitem__
    )
    left = room - _GAP * (len(columns) - 1)
    left -= sum(width for at, width in enumerate(widths) if at not in giving)
    for done, at in enumerate(giving):
        share = max(left // (len(giving) - done), len(columns[at].name))
        widths[at] = min(widths[at], share)
        left -= widths[at]
    return widths


def output_options(main: Main) -> Main:
    """Give a command the options `--output`, `--time` and `--color`; pass it `output`."""

    @click.option(
        "-o", "--output", "format_", type=click.Choice([each.value for each in Format]),
        default=Format.TABLE.value, show_default=True, help="How to print.",
    )  # fmt: skip
    @click.option("--json", "is_json", is_flag=True, help="Short for --output json.")
    @click.option(
        "--time", "time_", type=click.Choice(["relative", "iso"]),
        help="How to print instants: relative in tables, iso elsewhere, unless given.",
    )  # fmt: skip
    @click.option(
        "--color", type=click.Choice(["auto", "always", "never"]), default="auto",
        show_default=True, help="NO_COLOR counts, too.",
    )  # fmt: skip
    @wraps(main)
    async def run(
        *args: Any, format_: str, is_json: bool, time_: str | None, color: str, **options: Any
    ) -> int:
        output = Output(
            format=Format.JSON if is_json else Format(format_),
            is_relative=None if time_ is None else time_ == "relative",
            color=color,
        )
        return await main(*args, output=output, **options)

    return run


def age(at: datetime, now: datetime) -> str:
    """Return how long ago an instant was, or `in …`, in one or two units: 45s, 3m, 2h5m, 4d."""
    text = span(abs(now - at))
    return f"in {text}" if at - now >= _SECOND else text


def span(length: timedelta) -> str:
    """Return a length in one unit, or in two while the first one is small: 1h5m, 12h, 3d4h."""
    left, parts = floor(length.total_seconds() + 0.5), []  # as the page rounds
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        parts.append((count, f"{count}{unit}"))
    first = next((at for at, (count, _) in enumerate(parts) if count), len(parts) - 1)
    texts = [parts[first][1]]
    if parts[first][0] < _SMALL:
        texts += [text for count, text in parts[first + 1 : first + 2] if count]
    return "".join(texts)


_SMALL = 10  # of a unit, above which the next one does not matter


def instant_of(row: Row, name: str) -> datetime | None:
    """Return an instant of a row of the API."""
    return parse_instant(row.get(name))


def note(text: str) -> None:
    """Print a remark on stderr, if anything reads it."""
    with suppress(BrokenPipeError):
        click.echo(text, err=True)
