"""What `list`, `deliveries`, `rejections` and `kinds` share: options, reading, printing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS
from opswatch.cli.output import Column, Output, Row, note
from opswatch.cli.pages import count_rows, read_list
from opswatch.cli.source import Target

TOP = click.option(
    "--top",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="N",
    help="How many at most; 0 lists all.",
)
COUNT = click.option("--count", "is_count", is_flag=True, help="Print only how many there are.")
SINCE_HELP = "1h, P1D or 2026-11-25T21:00:00Z."


async def print_list(  # noqa: PLR0913 - what lists differ in
    target: Target,
    output: Output,
    path: str,
    filters: Mapping[str, str | None],
    columns: Callable[[Sequence[Row]], Sequence[Column]],
    name: Callable[[Row], str],
    *,
    top: int,
    is_count: bool,
    if_empty: str | None = None,
    sort: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list,
) -> int:
    """Print a list of the API, or how many rows it has; return the exit code.

    `if_empty` is a remark about the filters, which may explain that the list is empty.
    """
    query = {name: text for name, text in filters.items() if text is not None}
    async with target.open() as source:
        if is_count:
            count = await count_rows(source, path, query)
            click.echo(count)
            if if_empty and not count:
                note(if_empty)
            return EXIT_SUCCESS
        listed = await read_list(source, path, query, top)
    rows = sort(listed.rows)
    output.print_rows(rows, columns(rows), name)
    listed.note_rest()
    if if_empty and not rows:
        note(if_empty)
    return EXIT_SUCCESS
