"""The pages for those who deploy and operate: every name in them is one that is there."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import cache

from tests.infra.checks.deploy_workflow import SIGN_IN
from tests.infra.checks.finding import Finding
from tests.infra.checks.naming import MAIN_OUTPUTS
from tests.infra.checks.project import ROOT, Project
from tests.infra.checks.settings import settings_of_code

PAGES = ("docs/runbook.md", "docs/telemetry.md", "infra/README.md")
_VARIABLE = r"\b(?:AZURE|OPSWATCH)_[A-Z_]*[A-Z]\b"
_FILE = r"`((?:[\w.-]+/)+[\w.-]+\.(?:bicep|json|kql|md|py|yaml|yml))`"


def check(project: Project) -> list[Finding]:
    variables = settings_of_code() | MAIN_OUTPUTS.keys() | {*SIGN_IN}
    variables |= set(re.findall(r'"\$\{(\w+)', project.read("infra/main.parameters.json")))
    words = _words_of_code().union(
        *(re.findall(r"\w+", source.data.decode()) for source in project.sources.values()),
        re.findall(r"\w+", project.read("host.json")),
    )
    return [found for page in PAGES for found in _page(project, page, variables, words)]


def _page(
    project: Project, page: str, variables: AbstractSet[str], words: AbstractSet[str]
) -> Iterator[Finding]:
    text = project.read(page)
    for name in sorted(set(re.findall(_VARIABLE, text)) - variables):
        yield Finding(page, f"there is no variable {name}")
    for name in sorted(set(re.findall(r"`([a-z]+(?:[A-Z][A-Za-z]*)+)`", text)) - words):
        yield Finding(page, f"nothing is called {name}")
    for name in sorted(set(re.findall(_FILE, text))):
        if not (ROOT / name).is_file() and not (ROOT / "infra" / name).is_file():
            yield Finding(page, f"there is no file {name}")


@cache
def _words_of_code() -> frozenset[str]:
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "opswatch").rglob("*.py"))]
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))
