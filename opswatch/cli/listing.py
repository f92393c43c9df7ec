"""What `list`, `deliveries` and `rejections` share: options, reading, printing."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.output import Column, Output, Row, note, output_options
from opswatch.cli.pages import count_rows, read_list
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import run_async
from opswatch.config import TABLES

SINCE_HELP = "1h, P1D or 2026-11-25T21:00:00Z."
_TOP = click.option(
    "--top",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="N",
    help="How many at most; 0 lists all.",
)
_COUNT = click.option("--count", "is_count", is_flag=True, help="Print only how many there are.")
Filters = Mapping[str, str | None]  # of the API, by name


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the API, and how a command was told to print it."""

    target: Target
    output: Output
    top: int  # rows at most; 0: all
    is_count: bool

    async def print(
        self,
        path: str,
        filters: Filters,
        columns: Callable[[Sequence[Row]], Sequence[Column]],
        name: Callable[[Row], str],
        *,
        if_empty: str | None = None,
        sort: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list,
    ) -> int:
        """Print the list, or how many rows it has; return the exit code.

        `if_empty` is a remark about the filters, which may explain that the list is empty.
        """
        query = {name: text for name, text in filters.items() if text is not None}
        async with self.target.open() as source:
            if self.is_count:
                count = await count_rows(source, path, query)
                click.echo(count)
                if if_empty and not count:
                    note(if_empty)
                return EXIT_SUCCESS
            listed = await read_list(source, path, query, self.top)
        rows = sort(listed.rows)
        self.output.print_rows(rows, columns(rows), name)
        listed.note_rest()
        if if_empty and not rows:
            note(if_empty)
        return EXIT_SUCCESS


def list_options(
    main: Callable[[Listing, Filters], Coroutine[Any, Any, int]],
) -> Callable[..., int]:
    """Make a command of a coroutine function that prints a list; its own options are filters."""

    @_TOP
    @_COUNT
    @run_async
    @output_options
    @source_options(needs={TABLES})
    @wraps(main)
    async def run(
        *, top: int, is_count: bool, output: Output, target: Target, **filters: str | None
    ) -> int:
        return await main(Listing(target, output, top, is_count), filters)

    return run
