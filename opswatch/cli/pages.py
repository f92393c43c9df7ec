"""Lists of the API, page by page."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from opswatch.cli.output import note
from opswatch.cli.source import Source

_LARGEST = 1000  # rows of a page
_COUNTED = 1000  # rows beyond those that are shown
_COUNTED_PAGES = 10  # a page may be empty: a day without operations costs a read


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The first rows of a list."""

    rows: list[dict[str, Any]]
    total: int
    is_whole: bool  # whether `total` is all of them, or those that were counted

    def note_rest(self) -> None:
        """Print on stderr how many rows there are, if not all of them are shown."""
        shown = len(self.rows)
        if not self.is_whole:
            more = f"more than {self.total}" if self.total > shown else "more"
            note(f"{shown} of {more}: `--top 0` lists all")
        elif shown < self.total:
            note(f"{shown} of {self.total}: `--top {self.total}` lists all")


async def iter_pages(
    source: Source, path: str, query: Mapping[str, str | int], size: int = _LARGEST
) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the pages of a list, the first of them of at most `size`; a page may be empty."""
    following: dict[str, str] = {}
    while True:
        answer = await source.call("GET", path, {**query, "maxpagesize": size, **following})
        size = _LARGEST
        yield answer["value"]
        link = answer.get("nextLink")
        if link is None:
            return
        # Not the link itself: a proxy may have rewritten its host, and the key is for ours.
        following = {"continuation": dict(parse_qsl(urlsplit(link).query))["continuation"]}


async def read_list(source: Source, path: str, query: Mapping[str, str | int], top: int) -> Listed:
    """Return the first `top` rows of a list (0: all), and count some of the others."""
    rows: list[dict[str, Any]] = []
    counted = pages = 0
    async for page in iter_pages(source, path, query, min(top or _LARGEST, _LARGEST)):
        if counted >= _COUNTED or pages >= _COUNTED_PAGES:
            return Listed(rows=rows, total=len(rows) + counted, is_whole=False)
        taken = page[: top - len(rows)] if top else page
        rows += taken
        counted += len(page) - len(taken)
        pages += len(rows) == top > 0
    return Listed(rows=rows, total=len(rows) + counted, is_whole=True)


async def count_rows(source: Source, path: str, query: Mapping[str, str | int]) -> int:
    """Return how many rows a list has."""
    return sum([len(page) async for page in iter_pages(source, path, query)])
