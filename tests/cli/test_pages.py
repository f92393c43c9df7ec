"""Lists page by page: how many rows are read, and what is said of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from opswatch.cli.pages import count_rows, read_list
from opswatch.core.intake import Intake
from opswatch.ports import Services
from tests.support.harness import Harness


@dataclass
class Pages:
    """A list with these numbers of rows on its pages, whatever size is asked for."""

    sizes: Sequence[int]
    asked: list[dict[str, str | int]] = field(default_factory=list)
    base: str | None = None
    services: Services | None = None

    @property
    def intake(self) -> Intake:
        return Harness().services.intake

    async def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        assert (method, path, body) == ("GET", "list", None)
        given = dict(query or {})
        self.asked.append(given)
        number = int(given.get("continuation", 0))
        answer: dict[str, Any] = {"value": [{"page": number}] * self.sizes[number]}
        if number + 1 < len(self.sizes):
            link = f"https://elsewhere.example/api/list?maxpagesize=7&continuation={number + 1}"
            answer["nextLink"] = link
        return answer


@pytest.mark.parametrize(
    ("sizes", "top", "note"),
    [
        ([50], 50, ""),
        ([0], 50, ""),
        ([50, 2], 50, "50 of 52: `--top 52` lists all\n"),
        ([0, 50, 0, 2], 50, "50 of 52: `--top 52` lists all\n"),
        ([50, 2], 0, ""),
        ([1000, 1000, 1000], 0, ""),
        ([50, 1000, 1], 50, "50 of more than 1050: `--top 0` lists all\n"),
        ([50, *[0] * 20, 1], 50, "50 of more: `--top 0` lists all\n"),
        ([*[0] * 20, 60], 50, "50 of 60: `--top 60` lists all\n"),
    ],
)
async def test_note_says_what_is_left_out(
    capsys: pytest.CaptureFixture[str], sizes: list[int], top: int, note: str
) -> None:
    listed = await read_list(Pages(sizes), "list", {}, top)
    assert len(listed.rows) == min(top or sum(sizes), sum(sizes))
    listed.note_rest()
    assert capsys.readouterr() == ("", note)


async def test_first_page_is_small_and_the_others_are_large() -> None:
    source = Pages([5, 3])
    await read_list(source, "list", {"status": "Failed"}, 5)
    assert source.asked == [
        {"status": "Failed", "maxpagesize": 5},
        {"status": "Failed", "maxpagesize": 1000, "continuation": "1"},
    ]


async def test_count_is_of_all_pages() -> None:
    assert await count_rows(Pages([1000, 0, 1000, 3]), "list", {}) == 2003
