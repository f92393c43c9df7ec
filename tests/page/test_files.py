"""The files of the page: whole, small, vendored as published, and calling nobody else."""

import re
from pathlib import Path

import pytest

from tests.page.service import FILES, POLICY

ROOT = Path(__file__).parents[2]
PUBLISHED = {
    "preact.js": "preact/dist/preact.mjs",
    "preact.LICENSE.txt": "preact/LICENSE",
    "htm.js": "htm/dist/htm.module.js",
    "htm.LICENSE.txt": "htm/LICENSE",
}
OWN = sorted(path for path in FILES.iterdir() if path.is_file())
SCRIPTS = [path for path in OWN if path.suffix == ".js"]


def test_vendored_files_are_those_that_were_published() -> None:
    assert {path.name for path in (FILES / "vendor").iterdir()} == set(PUBLISHED)
    for name, published in PUBLISHED.items():
        assert (FILES / "vendor" / name).read_bytes() == (
            ROOT / "node_modules" / published
        ).read_bytes()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_module_is_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 150


def test_index_loads_every_module_at_once_and_nothing_else() -> None:
    index = (FILES / "index.html").read_text(encoding="utf-8")
    linked = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', index)
    names = {link.removeprefix("/api/dashboard/{{hash}}/") for link in linked}
    modules = {path.name for path in OWN if path.name != "index.html"}
    assert names == modules | {"vendor/preact.js", "vendor/htm.js"}
    assert "<script>" not in index  # the policy permits no inline script, not even an import map


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_writes_no_markup_and_names_no_other_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|dangerously|eval\(|Function\(", text
    )
    assert not re.search(r"[\s`]style=", text)
    hosts = set(re.findall(r"""["'`]https?://([\w.-]+)""", text))
    assert hosts <= {"example.com"}  # a placeholder; the portal is a link, never a request


def test_policy_leaves_no_other_source() -> None:
    assert not re.search(r"unsafe|\*|https?:|nonce|sha256", POLICY)
