"""Writes the sections of docs/reference.md that come from the code: `make reference`.

The prose beside them is written by hand, in the page itself, and so is the last column of some
tables: it is kept. A row that is new has none, and a test fails until it is written.
"""

from functools import partial
from pathlib import Path

from tests.docs import columns, events, surfaces
from tests.docs.markdown import Contents, regenerate

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
CONTENTS: Contents = {
    "posts": surfaces.properties,
    "reasons": surfaces.reasons,
    **{f"table {heading}": partial(columns.columns, heading) for heading in columns.TABLES},
    "headers": events.headers,
    "event": partial(events.members, ""),
    "data": partial(events.members, "data"),
    "events": events.examples,
    "answers": events.answers,
    "schedule": events.schedule,
    "settings": surfaces.settings,
    "routes": surfaces.routes,
    "shapes": surfaces.shapes,
    "problems": surfaces.problems,
    "exit codes": surfaces.codes,
    "commands": surfaces.commands,
}

if __name__ == "__main__":
    PAGE.write_text(regenerate(PAGE.read_text(encoding="utf-8"), CONTENTS), encoding="utf-8")
