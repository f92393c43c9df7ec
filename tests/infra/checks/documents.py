"""The pages for operators: every variable, property and file that they name exists, and the tables
of infra/README.md list exactly the roles and actions that are deployed.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import cache

from opswatch.rows import tables
from opswatch.rows.codec import Codec
from tests.infra.checks.deploy_workflow import SIGN_IN
from tests.infra.checks.project import Project
from tests.infra.deployment import ROOT, SETTINGS
from tests.infra.rules import ACTIONS, ASSIGNMENTS, READERS

README = "infra/README.md"
PAGES = ("docs/runbook.md", "docs/telemetry.md", README)
_VARIABLE = r"\b(?:AZURE|OPSWATCH)_[A-Z_]*[A-Z]\b"
_FILE = r"`((?:[\w.-]+/)+[\w.-]+\.(?:bicep|bicepparam|json|kql|md|ps1|py|sh|yaml|yml))`"
TERMINAL = ("OPSWATCH_URL", "OPSWATCH_KEY")  # variables of a person's shell
_OWN = ("app", "each watched subscription", "opswatch operation reader")


def check(project: Project) -> list[str]:
    templates = "\n".join(project.templates().values())
    variables = SETTINGS | {*SIGN_IN, *TERMINAL} | set(re.findall(_VARIABLE, templates))
    words = _words_of_code() | set(re.findall(r"\w+", templates + project.read("host.json")))
    found = [each for page in PAGES for each in _names(project, page, variables, words)]
    return [*found, *_tables(project.read(README)), *_variables(project)]


def _names(
    project: Project, page: str, variables: AbstractSet[str], words: AbstractSet[str]
) -> Iterator[str]:
    text = project.read(page)
    for name in sorted(set(re.findall(_VARIABLE, text)) - variables):
        yield f"{page}: there is no variable {name}"
    for name in sorted(set(re.findall(r"`([a-z]+(?:[A-Z][A-Za-z]*)+)`", text)) - words):
        yield f"{page}: nothing is called {name}"
    for name in sorted(set(re.findall(_FILE, text))):
        if not (ROOT / name).is_file() and not (ROOT / "infra" / name).is_file():
            yield f"{page}: there is no file {name}"


def _tables(text: str) -> Iterator[str]:
    rows = re.findall(r"^\| (app|operators|readers) \| (.+?) \| (.+?) \|", text, re.MULTILINE)
    listed = {(who, scope.replace("`", ""), role.strip("*")) for who, scope, role in rows}
    for row in sorted(listed ^ {*ASSIGNMENTS, READERS, _OWN}):
        yield f"{README}: {row} is in the table or in the templates only"
    section = text.partition("## What is made")[2].partition("\n## ")[0]
    actions = set(re.findall(r"`(Microsoft\.[\w./]+/read)`", section))
    for action in sorted(actions ^ set(ACTIONS)):
        yield f"{README}: {action} is in the table or in the role only"


def _variables(project: Project) -> Iterator[str]:
    """Every variable of main.bicepparam has a row; the app's settings are in the README of all."""
    section = project.read(README).partition("## Variables")[2].partition("\n## ")[0]
    first_cells = "\n".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))
    explained = set(re.findall(_VARIABLE, first_cells))
    given = project.variables()
    for name in sorted((given - SETTINGS) ^ (explained - SETTINGS)):
        yield f"{README}: {name} is in main.bicepparam or in the table only"


@cache
def _words_of_code() -> frozenset[str]:
    """Return every word in the code, and the columns, which are derived from fields."""
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "opswatch").rglob("*.py"))]
    codecs = [codec for codec in vars(tables).values() if isinstance(codec, Codec)]
    columns = {name for codec in codecs for name in codec.column_names}
    return frozenset(word for text in texts for word in re.findall(r"\w+", text)) | columns
