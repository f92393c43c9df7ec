"""Sections of a page that are written from the code, beside prose that is written by hand.

A section is between two comments, `<!-- generated: NAME -->` and `<!-- end -->`. In a table the
last column may be prose: a cell that the code does not give is kept, by the row's first cell.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SECTION = re.compile(
    r"^<!-- generated: (?P<name>[^\n]+?) -->\n(?P<text>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a row has a cell for each heading, or one less if the last one is prose."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def write(self, before: str) -> str:
        """Return the table in Markdown, with the prose that it had `before`."""
        prose = {cells[0]: cells[-1] for cells in read_table(before)}
        lines = [self.headings, ("---",) * len(self.headings)]
        for row in self.rows:
            cells = tuple(cell.replace("|", r"\|") for cell in row)
            kept = () if len(row) == len(self.headings) else (prose.get(cells[0], ""),)
            lines.append((*cells, *kept))
        return "".join(f"| {' | '.join(cells)} |\n".replace("  ", " ") for cells in lines)


Content = Table | str
Contents = Mapping[str, Callable[[], Content]]


def read_table(text: str) -> list[tuple[str, ...]]:
    """Return the cells of each row of the tables in a text, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in _CELL.split(line)[1:-1]) for line in lines]
    is_rule = [set("".join(row)) <= {"-"} and any(row) for row in rows]
    return [
        row
        for number, row in enumerate(rows)
        if not is_rule[number] and not (number + 1 < len(rows) and is_rule[number + 1])
    ]


def section_names(page: str) -> list[str]:
    """Return the names of the sections of a page, in their order."""
    return [found["name"] for found in _SECTION.finditer(page)]


def section(page: str, name: str) -> str:
    """Return the text of one section."""
    (text,) = (found["text"] for found in _SECTION.finditer(page) if found["name"] == name)
    return text


def regenerate(page: str, contents: Contents) -> str:
    """Return a page with every section as the code has it now."""

    def write(found: re.Match[str]) -> str:
        content = contents[found["name"]]()
        text = content if isinstance(content, str) else content.write(found["text"])
        return f"<!-- generated: {found['name']} -->\n\n{text.strip()}\n\n<!-- end -->"

    return _SECTION.sub(write, page)
